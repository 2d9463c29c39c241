"""The checks of `transcripts doctor`: each says whether a part works, and how to repair it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from cli.client.api import Api
from cli.deploy.environment import Environment
from cli.deploy.programs import gcloud, is_installed
from cli.failures import ApiError, ExitCode, Failure
from cli.local.state import LocalStack
from transcripts.submissions.answers import Receipt
from transcripts.submissions.requests import RequestBody

WRONG_TOKEN: Final = "wrong-token-of-transcripts-doctor"  # noqa: S105 - it is meant to be refused
TIMEOUT_S: Final = 10.0
KEPT: Final = ("callbacks-dead", "callbacks-rejected", "uploads-dead")
PUSHED: Final = {"callbacks": "subscriber", "uploads": "ingest"}
TOPICS: Final = (*PUSHED, *KEPT, "results")
SECRETS: Final = {"mavi-api-key": "set-api-key", "callback-tokens": "rotate-token"}
"""Each with the target of make that replaces it."""


class Check(NamedTuple):
    """The outcome of one check. ``repair`` is a command, or None if nothing is to be done."""

    name: str
    ok: bool
    detail: str
    repair: str | None = None


def checks(api: Api) -> Iterator[Check]:
    """Run the checks of a pipeline, one after the other."""
    target = api.target
    yield Check("settings", ok=True, detail=f"{target.name}, results at {target.results_url}")
    if target.environment is not None:
        yield _login()
    yield from _functions(api)
    if target.stack is not None:
        yield from _local(target.stack)
    if target.environment is not None:
        if target.callback_url:
            yield _webhook(target.callback_url, f"make deploy ENV={target.environment.name}")
        yield from _deployed(target.environment)


def _functions(api: Api) -> Iterator[Check]:
    hint, environment = api.target.start_hint.rpartition(": ")[2], api.target.environment
    if environment is not None:
        # Without callers, results and submit accept internal traffic only, and Google answers 404.
        name = environment.name
        hint = f"make deploy ENV={name}  # with you in results_callers of infra/{name}.tfvars"
    try:
        api.get("/tasks", {"page_size": 1})
        yield Check("results", ok=True, detail="answers, and reads the database")
    except Failure as error:
        yield _failed("results", error, hint)
    if not api.target.submit_url:
        yield Check(
            "submit",
            ok=False,
            detail="has no known address",
            repair="export TRANSCRIPTS_SUBMIT_URL=URL",
        )
        return
    try:
        api.submit(RequestBody(), Receipt)
        yield Check("submit", ok=False, detail="accepts an empty request: it is another service")
    except ApiError as error:
        # The request is invalid on purpose: nothing is bought.
        yield Check("submit", ok=error.code == "invalid_body", detail=f"answers ({error.code})")
    except Failure as error:
        yield _failed("submit", error, hint)


def _failed(name: str, error: Failure, repair: str) -> Check:
    first, _, rest = error.message.partition("\n")
    if error.exit_status == ExitCode.NOT_AUTHORIZED:
        repair = rest.rpartition(": ")[2] or first.rpartition(": ")[2]
    return Check(name, ok=False, detail=first, repair=repair)


def _local(stack: LocalStack) -> Iterator[Check]:
    up = "transcripts up"
    yield _answers("bucket", f"{stack.bucket_url}/storage/v1/b/{stack.bucket}/o/none", {404}, up)
    yield _webhook(stack.callback_url.rpartition("/")[0], up)
    # A request without a key shows that the fake Mavi answers.
    yield _answers("Mavi", stack.urls["mavi"], None, up)
    yield Check("queue", ok=True, detail=f"runs in process {stack.pid}, with broker and database")


def _answers(name: str, url: str, statuses: set[int] | None, repair: str) -> Check:
    import urllib3

    try:
        status = urllib3.request("GET", url, timeout=TIMEOUT_S, retries=1).status
    except urllib3.exceptions.HTTPError:
        return Check(name, ok=False, detail=f"{url} does not answer", repair=repair)
    if statuses is None or status in statuses:
        return Check(name, ok=True, detail=f"answers at {url}")
    return Check(name, ok=False, detail=f"{url} answers {status}", repair=repair)


def _webhook(url: str, repair: str) -> Check:
    """Check that anybody can reach callback, and that it refuses a wrong token."""
    check = _answers("webhook", f"{url}/{WRONG_TOKEN}", {404}, repair)
    return check._replace(detail=f"callback at {url} refuses a wrong token") if check.ok else check


def _login() -> Check:
    if not is_installed("gcloud"):
        url = "https://cloud.google.com/sdk/docs/install"
        return Check("login", ok=False, detail="gcloud is not installed", repair=url)
    answer = gcloud("auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    account = answer.out.strip()
    if account:
        return Check("login", ok=True, detail=account)
    return Check("login", ok=False, detail="gcloud is not logged in", repair="gcloud auth login")


def _deployed(environment: Environment) -> Iterator[Check]:
    if not is_installed("gcloud"):
        return
    project, prefix = environment.project, environment.prefix
    deploy = f"make deploy ENV={environment.name}"
    at = f"--project={project}"

    def described(
        name: str, *words: str, is_ok: Callable[[str], bool] = bool, repair: str = deploy
    ) -> Check:
        answer = gcloud(*words, at)
        if answer.code:
            return Check(name, ok=False, detail=answer.error_message, repair=deploy)
        value = answer.out.strip()
        ok = is_ok(value)
        return Check(name, ok, value or "not as deployed", None if ok else repair)

    queue = f"{prefix}-submissions"
    where = f"--location={environment.region}"
    yield described(
        "queue",
        *("tasks", "queues", "describe", queue, where, "--format=value(state)"),
        is_ok=lambda state: state == "RUNNING",
        repair=f"gcloud tasks queues resume {queue} {where} {at}",
    )
    for topic in TOPICS:
        name = f"{prefix}-{topic}"
        yield described(
            f"topic {name}", "pubsub", "topics", "describe", name, "--format=value(name)"
        )
    for topic, function in PUSHED.items():
        name = f"{prefix}-{topic}-to-{function}"
        form = "--format=value(pushConfig.pushEndpoint)"
        yield described(f"subscription {name}", "pubsub", "subscriptions", "describe", name, form)
    for topic in KEPT:
        name = f"{prefix}-{topic}-kept"
        yield described(
            f"subscription {name}",
            *("pubsub", "subscriptions", "describe", name, "--format=value(name)"),
        )
    yield described(
        "database",
        *("firestore", "databases", "describe", f"--database={environment.database}"),
        "--format=value(name)",
    )
    for secret, rotate in SECRETS.items():
        yield described(
            f"secret {secret}",
            *("secrets", "versions", "describe", "latest", f"--secret={prefix}-{secret}"),
            "--format=value(state)",
            is_ok=lambda state: state.upper() == "ENABLED",
            repair=f"make {rotate} ENV={environment.name}",
        )

"""The command `doctor`: whether each part of a pipeline works, and how to repair it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import click
import urllib3

from cli.client.api import Api, open_api
from cli.client.target import Choice
from cli.deploy.environment import Environment
from cli.deploy.programs import gcloud, is_installed
from cli.failures import ApiError, ExitCode, Failure
from cli.local.state import LocalStack
from cli.options import json_option, target_options
from cli.output import clean, colored, note, print_json
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


@click.command("doctor")
@json_option
@target_options
@click.pass_context
def doctor_command(context: click.Context, *, as_json: bool, choice: Choice) -> None:
    """Check every part, and print the command that repairs it."""
    ok = report(checks(open_api(choice)), as_json=as_json)
    if choice.env and not as_json:
        note(
            "Not checked: the URL in Mavi's console, which no API shows. Compare it with: "
            f"make callback-url ENV={choice.env}"
        )
    context.exit(ExitCode.OK if ok else ExitCode.FAILED)


def report(checks: Iterable[Check], *, as_json: bool) -> bool:
    """Print each check as it ends; tells whether all are well."""
    found = []
    for check in checks:
        found.append(check)
        if not as_json:
            click.echo(
                f"{colored('ok' if check.ok else 'problem', 8)} {check.name}: {clean(check.detail)}"
            )
            if check.repair and not check.ok:
                click.echo(f"         repair: {check.repair}")
    ok = all(check.ok for check in found)
    if as_json:
        print_json({"ok": ok, "checks": [check._asdict() for check in found]})
    return ok


def checks(api: Api) -> Iterator[Check]:
    """Run the checks of a pipeline, one after the other."""
    target = api.target
    yield Check("settings", ok=True, detail=f"{target.name}, results at {target.results_url}")
    if target.environment is not None:
        yield _login()
    yield from functions(api)
    if target.stack is not None:
        yield from _local(target.stack)
    if target.environment is not None:
        if target.callback_url:
            yield _webhook(target.callback_url, f"make deploy ENV={target.environment.name}")
        yield from _deployed(target.environment)


def functions(api: Api) -> Iterator[Check]:
    """Check that results and submit accept the caller."""
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
    prefix = environment.prefix
    deploy = f"make deploy ENV={environment.name}"
    at = f"--project={environment.project}"
    where = f"--location={environment.region}"
    queue = f"{prefix}-submissions"
    # The part, the command that describes it, the value it must have (None: any), its repair.
    parts: list[tuple[str, tuple[str, ...], str | None, str]] = [
        (
            "queue",
            ("tasks", "queues", "describe", queue, where, "--format=value(state)"),
            "RUNNING",
            f"gcloud tasks queues resume {queue} {where} {at}",
        )
    ]
    kinds = [("topic", "topics", f"{prefix}-{name}", "name") for name in TOPICS]
    for name, function in PUSHED.items():
        pushed = f"{prefix}-{name}-to-{function}"
        kinds.append(("subscription", "subscriptions", pushed, "pushConfig.pushEndpoint"))
    kinds += [("subscription", "subscriptions", f"{prefix}-{name}-kept", "name") for name in KEPT]
    for kind, plural, name, field in kinds:
        describe = ("pubsub", plural, "describe", name, f"--format=value({field})")
        parts.append((f"{kind} {name}", describe, None, deploy))
    database = ("firestore", "databases", "describe", f"--database={environment.database}")
    parts.append(("database", (*database, "--format=value(name)"), None, deploy))
    for secret, rotate in SECRETS.items():
        version = ("secrets", "versions", "describe", "latest", f"--secret={prefix}-{secret}")
        repair = f"make {rotate} ENV={environment.name}"
        parts.append((f"secret {secret}", (*version, "--format=value(state)"), "ENABLED", repair))
    for name, words, expected, repair in parts:
        answer = gcloud(*words, at)
        value = answer.out.strip()
        if answer.code:
            yield Check(name, ok=False, detail=answer.error_message, repair=deploy)
        elif value and expected in (None, value.upper()):
            yield Check(name, ok=True, detail=value)
        else:
            yield Check(name, ok=False, detail=value or "not as deployed", repair=repair)

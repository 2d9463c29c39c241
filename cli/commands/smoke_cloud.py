"""The checks of `smoke` that ask Google Cloud what is deployed, through gcloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import urllib3

from cli.commands.doctor import KEPT, PUSHED, Check
from cli.deploy.environment import Environment
from cli.deploy.errors import Refused
from cli.deploy.programs import gcloud
from cli.deploy.secret_values import API_KEY, read_secret, secret_id
from transcripts.mavi.answers import read_metadata_answer
from transcripts.results.filters import INDEXES
from transcripts.submissions.sweep import QUERIES

TIMEOUT_S: Final = 30.0
SWEPT_WITHIN_S: Final = 60.0
POLL_S: Final = 0.5

EXPIRING: Final = (
    *("tasks", "segments", "raw", "submissions", "assets", "recordings", "spend_counters"),
)
"""The collection groups with a time to live; tests/infra compares them with infra/firestore.tf."""

PUBLISHERS: Final = {
    "callbacks": ("callback",),
    "callbacks-rejected": ("callback",),
    "results": ("subscriber", "submit"),
}
"""The functions that publish to each topic; tests/infra compares them with the grants."""


class _GcloudFailed(Exception):
    """gcloud did not answer what was asked; the message is its own."""


def _gcloud(environment: Environment, *words: str) -> Any:
    answer = gcloud(*words, f"--project={environment.project}", "--format=json")
    if answer.code:
        raise _GcloudFailed(answer.error_message)
    return json.loads(answer.out or "null")


def _sweep(environment: Environment, deploy: str) -> Iterator[Check]:
    """Let the scheduler call the sweep, and wait for the outcome."""
    job = f"{environment.prefix}-sweep"
    where = f"--location={environment.region}"
    found = _gcloud(environment, "scheduler", "jobs", "describe", job, where)
    if found.get("state") != "ENABLED":
        resume = f"gcloud scheduler jobs resume {job} {where} --project={environment.project}"
        yield Check("sweep", ok=False, detail=f"is {found.get('state')}", repair=resume)
        return
    before = found.get("lastAttemptTime", "")
    _gcloud(environment, "scheduler", "jobs", "run", job, where)
    deadline = time.monotonic() + SWEPT_WITHIN_S
    while found.get("lastAttemptTime", "") == before and time.monotonic() < deadline:
        time.sleep(POLL_S)
        found = _gcloud(environment, "scheduler", "jobs", "describe", job, where)
    code = found.get("status", {}).get("code", 0)
    if found.get("lastAttemptTime", "") == before:
        yield Check("sweep", ok=False, detail="the scheduler does not run it", repair=deploy)
    elif code:
        detail = f"answers the scheduler with status {code}: docs/operations.md#sweep-silent"
        yield Check("sweep", ok=False, detail=detail, repair=deploy)
    else:
        yield Check("sweep", ok=True, detail=f"answers, scheduled {found.get('schedule')}")


def _queue(environment: Environment, deploy: str) -> Iterator[Check]:
    name = f"{environment.prefix}-submissions"
    where = f"--location={environment.region}"
    found = _gcloud(environment, "tasks", "queues", "describe", name, where)
    rate = found.get("rateLimits", {}).get("maxDispatchesPerSecond")
    if found.get("state") != "RUNNING":
        resume = f"gcloud tasks queues resume {name} {where} --project={environment.project}"
        detail = f"is {found.get('state')}: nothing is bought"
        yield Check("queue", ok=False, detail=detail, repair=resume)
    elif not rate:
        yield Check("queue", ok=False, detail="has no rate", repair=deploy)
    else:
        yield Check("queue", ok=True, detail=f"runs {rate:g} a second")


def _subscriptions(environment: Environment, deploy: str) -> Iterator[Check]:
    """Check that every push has an identity and dead letters, and that kept messages stay."""
    prefix = environment.prefix
    listed = _gcloud(environment, "pubsub", "subscriptions", "list")
    found: Mapping[str, Any] = {each["name"].rpartition("/")[2]: each for each in listed}
    for topic, function in PUSHED.items():
        name = f"{prefix}-{topic}-to-{function}"
        push = found.get(name, {}).get("pushConfig", {})
        if name not in found:
            detail = "is missing: messages are lost"
        elif not push.get("oidcToken", {}).get("serviceAccountEmail"):
            detail = f"pushes without an identity: {function} refuses every message"
        elif not found[name].get("deadLetterPolicy", {}).get("deadLetterTopic"):
            detail = "has no dead letters"
        else:
            detail = ""
        yield Check(f"subscription {name}", not detail, detail or "pushes", detail and deploy)
    for topic in KEPT:
        name = f"{prefix}-{topic}-kept"
        if name not in found:
            detail = "is missing: what cannot be processed is lost"
            yield Check(f"subscription {name}", ok=False, detail=detail, repair=deploy)


def _publishers(environment: Environment, deploy: str) -> Iterator[Check]:
    """Check the right to publish of every function that publishes."""
    for topic, names in PUBLISHERS.items():
        name = f"{environment.prefix}-{topic}"
        policy = _gcloud(environment, "pubsub", "topics", "get-iam-policy", name)
        members = {
            member
            for binding in policy.get("bindings", [])
            if binding["role"] == "roles/pubsub.publisher"
            for member in binding["members"]
        }
        accounts = {
            function: f"serviceAccount:{environment.prefix}-{function}"
            f"@{environment.project}.iam.gserviceaccount.com"
            for function in names
        }
        missing = [function for function, member in accounts.items() if member not in members]
        detail = f"{' and '.join(missing)} may not publish" if missing else f"{', '.join(names)}"
        yield Check(f"topic {name}", not missing, detail, deploy if missing else None)


def _indexes(environment: Environment, deploy: str) -> Iterator[Check]:
    """Check that every query of the code has its index, ready."""
    listed = _gcloud(
        environment,
        *("firestore", "indexes", "composite", "list", f"--database={environment.database}"),
    )
    states = {
        (
            each["name"].split("/collectionGroups/")[1].split("/")[0],
            *(f["fieldPath"] for f in each["fields"] if f["fieldPath"] != "__name__"),
        ): each["state"]
        for each in listed
    }
    wanted = {(collection, *fields) for collection, *fields in QUERIES}
    wanted |= {(collection, *(name for name, _ in fields)) for collection, *fields in INDEXES}
    bad = {key: states.get(key, "missing") for key in sorted(wanted)}
    bad = {key: state for key, state in bad.items() if state != "READY"}
    if bad:
        detail = "; ".join(f"{' '.join(key)} is {state}" for key, state in bad.items())
        building = set(bad.values()) == {"CREATING"}
        repair = "wait until Firestore has built it, then repeat" if building else deploy
        yield Check("indexes", ok=False, detail=detail, repair=repair)
    else:
        yield Check("indexes", ok=True, detail=f"{len(wanted)} are READY")


def _expiry(environment: Environment, deploy: str) -> Iterator[Check]:
    """Check that expired documents of every collection group are deleted."""
    listed = _gcloud(
        environment, *("firestore", "fields", "ttls", "list", f"--database={environment.database}")
    )
    states = {
        each["name"].split("/collectionGroups/")[1].split("/")[0]: each["ttlConfig"]["state"]
        for each in listed
        if each.get("ttlConfig")
    }
    off = [name for name in EXPIRING if states.get(name) != "ACTIVE"]
    if off:
        detail = f"no time to live for {', '.join(off)}: what has expired is never deleted"
        yield Check("expiry", ok=False, detail=detail, repair=deploy)
    else:
        yield Check("expiry", ok=True, detail=f"ACTIVE for {len(EXPIRING)} collection groups")


def _key(environment: Environment, _deploy: str) -> Iterator[Check]:
    """Ask Mavi for an asset that does not exist, which costs nothing."""
    repair = f"make set-api-key ENV={environment.name}"
    try:
        key = read_secret(environment.project, secret_id(environment.prefix, API_KEY))
    except Refused as error:
        yield Check("key", ok=False, detail=str(error), repair=repair)
        return
    try:
        answer = urllib3.request(
            "GET",
            f"{environment.mavi_base_url}/re_0000000000000000/metadata",
            headers={"Authorization": key},
            timeout=TIMEOUT_S,
            retries=False,
        )
    except urllib3.exceptions.HTTPError:
        yield Check("key", ok=False, detail=f"{environment.mavi_base_url} does not answer")
        return
    if read_metadata_answer(answer.status, answer.data, 0) is not None:
        yield Check("key", ok=True, detail="is accepted by Mavi")
    elif answer.status in (401, 403):
        detail = "is refused by Mavi: it was revoked, or is of another account"
        yield Check("key", ok=False, detail=detail, repair=repair)
    else:
        yield Check("key", ok=False, detail=f"Mavi answers {answer.status}; repeat this later")


def cloud_checks(environment: Environment) -> Iterator[Check]:
    """Run the checks of a deployment, one after the other; none of them stops the others."""
    deploy = f"make deploy ENV={environment.name}"
    for name, check in _CHECKS.items():
        try:
            yield from check(environment, deploy)
        except _GcloudFailed as error:
            yield Check(name, ok=False, detail=str(error), repair=deploy)


_CHECKS: Final[Mapping[str, Callable[[Environment, str], Iterator[Check]]]] = {
    "sweep": _sweep,
    "queue": _queue,
    "subscriptions": _subscriptions,
    "publishers": _publishers,
    "indexes": _indexes,
    "expiry": _expiry,
    "key": _key,
}
"""Each is given the command that restores what Terraform has made."""

"""The command `logs`: what the functions have logged about a file, a task or a submission."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from cli.client.api import open_api
from cli.client.lookup import NotFound, find
from cli.client.target import Choice, find_target
from cli.deploy.environment import Environment
from cli.failures import ExitCode, Failure, Unreachable
from cli.options import MOMENT, SUBJECT, json_option, target_options
from cli.output import colored, event_lines, note, print_json
from transcripts.ids import usable_id
from transcripts.log_events import EVENTS
from transcripts.settings import FUNCTIONS

SEVERITIES: Final = ("INFO", "WARNING", "ERROR")
KEPT: Final = timedelta(days=30)
"""How long Cloud Logging keeps entries (https://cloud.google.com/logging/quotas#logs_retention)."""

_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")

Event = dict[str, Any]


@click.command("logs")
@click.argument("subject", metavar="[PATH|ID]", required=False, type=SUBJECT)
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="INFO",
    show_default=True,
    help="Only lines of this severity or above.",
)
@click.option("--since", type=MOMENT, help="From this time on. [default: 30d, 30 days ago]")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@json_option
@target_options
def logs_command(
    *,
    subject: str | None,
    severity: str,
    since: str | None,
    limit: int,
    as_json: bool,
    choice: Choice,
) -> None:
    """Show what happened to a file, a task or a submission, in its order.

    The lines come from Cloud Logging, or from the files of the local stack. A warning or an error
    has below it what it means and what to do. Without PATH|ID, the lines of everything are shown.
    """
    oldest = datetime.fromisoformat(since) if since else _now() - KEPT
    ids = _ids(choice, subject) if subject else frozenset()
    target = find_target(choice)
    shown = SEVERITIES[SEVERITIES.index(severity) :]
    if target.stack is not None:
        lines = _of_files(Path(target.stack.data_dir) / "logs")
        events = sorted(
            (
                event
                for event in lines
                if event["severity"] in shown
                and datetime.fromisoformat(event["time"]) >= oldest
                and (not ids or not ids.isdisjoint(_ids_of(event)))
            ),
            key=lambda event: str(event["time"]),
        )[-limit:]
    elif target.environment is not None:
        events = _of_cloud_logging(target.environment, ids, severity, oldest, limit, choice)
    else:
        raise Failure("Name the deployment, whose project has the logs: --env NAME", ExitCode.USAGE)
    if as_json:
        print_json(events)
        return
    for event in events:
        for line in event_lines(event, colored(str(event["severity"]), 7)):
            click.echo(line)
        known = EVENTS.get(str(event["message"]))
        if known is not None and known.action:
            action = _LINK.sub(r"\1 (docs/\2)", known.action)
            click.echo(f"        {known.meaning}. What to do: {action}")
    if not events:
        note("Nothing was logged about it." if ids else "Nothing was logged.")
    elif len(events) == limit:
        note(f"Older lines are left out: these are the newest {limit}. See --limit.")


def _now() -> datetime:
    return datetime.now(UTC)


def _ids(choice: Choice, subject: str) -> frozenset[str]:
    """Return the ids of the submission and of the tasks of all its attempts.

    The logs may know an id that the database does not, or be there while results is not.
    """
    try:
        found = find(open_api(choice), subject)
    except (NotFound, Unreachable):
        if not usable_id(subject) or Path(subject).exists():
            raise
        return frozenset({subject})
    ids = {subject, found.task_id or ""}
    if found.submission is not None:
        submission = found.submission
        ids |= {submission.submission_id, submission.duplicate_of or ""}
        ids |= {attempt.task_id or "" for attempt in submission.previous_attempts}
    return frozenset(each for each in ids if usable_id(each))


def _ids_of(event: Event) -> Iterable[object]:
    return (event.get("task_id"), event.get("submission_id"), event.get("asset_id"))


def _of_files(folder: Path) -> Iterator[Event]:
    """Yield the events of the local stack's files, which hold other programs' lines too."""
    for path in sorted(folder.glob("*.log")):
        for line in path.read_bytes().splitlines():
            try:
                event = msgspec.json.decode(line, type=Event)
            except msgspec.MsgspecError:
                continue
            if {"severity", "message", "time", "function"} <= event.keys():
                yield event


def _of_cloud_logging(
    environment: Environment,
    ids: frozenset[str],
    severity: str,
    oldest: datetime,
    limit: int,
    choice: Choice,
) -> list[Event]:
    from cli.deploy.programs import gcloud

    services = _any(f"{environment.prefix}-{name}" for name in FUNCTIONS)
    wanted = [
        'resource.type="cloud_run_revision"',
        f"resource.labels.service_name=({services})",
        "jsonPayload.function:*",
        f"severity>={severity}",
        f'timestamp>="{oldest.isoformat()}"',
    ]
    if ids:
        fields = ("task_id", "submission_id", "asset_id")
        wanted.append(
            f"({' OR '.join(f'jsonPayload.{name}=({_any(sorted(ids))})' for name in fields)})"
        )
    account = [f"--impersonate-service-account={choice.impersonate}"] if choice.impersonate else []
    answer = gcloud(
        *("logging", "read", " AND ".join(wanted), f"--project={environment.project}"),
        *("--order=desc", f"--limit={limit}", "--format=json", *account),
    )
    if answer.code:
        raise Failure(
            f"Cloud Logging cannot be read: {answer.error_message}\n"
            "You need gcloud auth login, and roles/logging.viewer on the project.",
            ExitCode.NOT_AUTHORIZED,
        )
    return [
        {**entry["jsonPayload"], "time": entry["timestamp"], "severity": entry["severity"]}
        for entry in reversed(json.loads(answer.out or "[]"))
    ]


def _any(values: Iterable[str]) -> str:
    return " OR ".join(f'"{value}"' for value in values)

"""The command `costs`: what was bought in a month, and about what it costs at Mavi."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import click
import msgspec

from cli.client.api import MAX_PAGE_SIZE, Api, open_api
from cli.client.target import Choice
from cli.failures import ExitCode, Failure
from cli.options import json_option, target_options
from cli.output import note, print_json, table
from transcripts.cost import dollars
from transcripts.results.answers import SubmissionList, Summary, TaskList
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

NO_LENGTH: Final = frozenset({Status.SUBMITTED, Status.OVERDUE})
"""Statuses of a task whose media has no known length yet."""


class Cost(msgspec.Struct):
    """The sum of some purchases; ``minutes`` are those of the media with a result."""

    purchases: int = 0
    minutes: float = 0.0
    dollars: float = 0.0

    def add(self, duration_s: float) -> None:
        """Add one purchase."""
        self.purchases += 1
        self.minutes += duration_s / 60
        self.dollars = round(dollars(self.minutes * 60), 4)


@click.command("costs")
@click.option("--month", metavar="YYYY-MM", help="In UTC. [default: this month]")
@json_option
@target_options
def costs_command(*, month: str | None, as_json: bool, choice: Choice) -> None:
    """Show what was bought in a month: minutes and dollars by status, label and day.

    The dollars are an estimate: the minutes of media at Mavi's price.
    """
    first, following = _bounds(month)
    api = open_api(choice)
    total = Cost()
    groups: dict[str, defaultdict[str, Cost]] = {
        name: defaultdict(Cost) for name in ("status", "label", "day")
    }
    known: set[str] = set()
    unknown = 0
    for task in _bought(api, first, following):
        known.add(task.task_id)
        unknown += task.status in NO_LENGTH
        total.add(task.duration_s)
        day = (task.submitted_at or first).date().isoformat()
        labels = [f"{key}:{value}" for key, value in sorted(task.labels.items())] or ["no label"]
        for group, keys in (("status", [task.status]), ("label", labels), ("day", [day])):
            for key in keys:
                groups[group][key].add(task.duration_s)
    # A deleted transcript leaves its purchase in the ledger, without its length.
    deleted = sum(each not in known for each in _in_ledger(api, first, following))
    if as_json:
        ordered = {f"by_{name}": dict(sorted(costs.items())) for name, costs in groups.items()}
        head = {"month": first.strftime("%Y-%m"), **msgspec.structs.asdict(total)}
        print_json({**head, "without_length": unknown, "deleted": deleted, **ordered})
        return
    for name, costs in groups.items():
        rows = [(key, *_cells(cost)) for key, cost in sorted(costs.items())]
        for line in table([name.upper(), "PURCHASES", "MINUTES", "DOLLARS"], rows):
            click.echo(line)
        click.echo()
    purchases, minutes, dollars = _cells(total)
    click.echo(f"{first:%Y-%m}: {purchases} purchases, {minutes} minutes, about ${dollars}")
    if unknown:
        note(f"{unknown} of them have no result yet, so their length is not known.")
    if deleted:
        note(f"{deleted} more were bought and deleted; their length is not known any more.")


def _bounds(month: str | None) -> tuple[datetime, datetime]:
    try:
        first = datetime.fromisoformat(f"{month}-01") if month else datetime.now(UTC)
    except ValueError as error:
        raise Failure("--month takes a month such as 2026-01.", ExitCode.USAGE) from error
    first = datetime(first.year, first.month, 1, tzinfo=UTC)
    return first, datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)


def _bought(api: Api, first: datetime, following: datetime) -> Iterator[Summary]:
    query: dict[str, str | int] = {
        "created_after": first.isoformat(),
        "created_before": following.isoformat(),
        "page_size": MAX_PAGE_SIZE,
    }
    for page in api.pages("/tasks", TaskList, query):
        # A task without a submission was not bought here.
        yield from (task for task in page.tasks if task.submission_id is not None)


def _in_ledger(api: Api, first: datetime, following: datetime) -> Iterator[str]:
    """Yield the tasks of the submissions whose last purchase was in the month."""
    query: dict[str, str | int] = {"state": State.SUBMITTED, "page_size": MAX_PAGE_SIZE}
    for page in api.pages("/submissions", SubmissionList, query):
        for entry in page.submissions:
            if entry.task_id and first <= (entry.submitted_at or entry.created_at) < following:
                yield entry.task_id


def _cells(cost: Cost) -> tuple[str, str, str]:
    return str(cost.purchases), f"{cost.minutes:.1f}", f"{cost.dollars:.2f}"

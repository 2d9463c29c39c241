"""The command `replay`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click

from cli.client.target import Choice, Target, find_target
from cli.failures import ExitCode, Failure, Unreachable
from cli.options import json_option, target_options
from cli.output import local_time, note, print_json, table

SOURCES: Final = ("dead", "rejected", "uploads-dead")
STAYS: Final = "stays: "
"""Begins the outcome of a message that is not published, before the reason."""


@click.command("replay")
@click.argument("source", type=click.Choice(SOURCES))
@click.option("--apply", is_flag=True, help="Publish them; without it they are only listed.")
@click.option("--message", "message_ids", multiple=True, metavar="ID", help="Only this message.")
@click.option("--limit", type=click.IntRange(1), help="At most so many messages.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=10,
    show_default=True,
    help="Messages a second.",
)
@json_option
@target_options
def replay_command(
    *,
    source: str,
    apply: bool,
    message_ids: tuple[str, ...],
    limit: int | None,
    rate: float,
    as_json: bool,
    choice: Choice,
) -> None:
    """Deliver dead letters and rejected callbacks again.

    Without --apply this is a dry run. A message is removed only after it is published again. A
    result that is stored already is a duplicate and changes nothing.
    """
    wanted = frozenset(message_ids)
    with errors_in_words():
        rows = asyncio.run(
            _replay(find_target(choice), source, wanted, limit, rate if apply else None)
        )
    if as_json:
        print_json({"source": source, "applied": apply, "messages": rows})
    elif not rows:
        note(f"No messages are kept in {source}." if not wanted else "No such message is kept.")
    else:
        columns = ("id", "task_id", "received_at", "bytes", "outcome")
        cells = [[str(row[name] or "") for name in columns] for row in rows]
        for row in cells:
            row[2] = local_time(datetime.fromisoformat(row[2]))
        for line in table(["MESSAGE", "TASK OR OBJECT", "RECEIVED", "BYTES", "OUTCOME"], cells):
            click.echo(line)
        if not apply:
            note("This was a dry run. Once the cause is repaired, add --apply.")
        if any(row["outcome"].startswith(STAYS) for row in rows):
            note(
                "What stays can't be read by this version. How to look at it, and how to discard"
                " it: docs/operations.md#dead-letters"
            )
    missing = wanted - {row["id"] for row in rows}
    if missing:
        raise Failure(f"Not among the kept messages: {', '.join(sorted(missing))}.")


async def _replay(
    target: Target, source: str, wanted: frozenset[str], limit: int | None, rate: float | None
) -> list[dict[str, Any]]:
    """Return what became of each message; ``rate`` None is a dry run."""
    from cli.client.kept_messages import UNREADABLE, KeptFrom, message_to_publish, open_kept

    kept_from = KeptFrom(source)
    enough = min(filter(None, (limit, len(wanted))), default=None)
    rows: list[dict[str, Any]] = []
    kept = open_kept(target, kept_from)
    try:
        async for each in kept.read():
            if wanted and each.message_id not in wanted:
                continue
            try:
                message = message_to_publish(kept_from, each)
            except UNREADABLE as error:
                outcome = f"{STAYS}{error.code}"
            else:
                outcome = "would be published"
                if rate is not None:
                    if rows:
                        await asyncio.sleep(1 / rate)
                    await kept.publish(message)
                    await kept.acknowledge(each)
                    outcome = "published"
            attributes = each.message.attributes
            rows.append(
                {
                    "id": each.message_id,
                    "task_id": attributes.get("task_id") or attributes.get("objectId"),
                    "kind": attributes.get("kind") or attributes.get("reason"),
                    "received_at": attributes.get("received_at") or each.published_at.isoformat(),
                    "bytes": len(each.message.data),
                    "outcome": outcome,
                }
            )
            if len(rows) == enough:
                break
    finally:
        await kept.close()
    return rows


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Raise ``Failure`` for what Pub/Sub, its login or the local database refuse."""
    import sqlite3

    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise Failure(
            "You are not logged in to Pub/Sub. Run: gcloud auth application-default login",
            ExitCode.NOT_AUTHORIZED,
        ) from error
    except GoogleAPIError as error:
        status = getattr(error, "code", None)
        if status in (401, 403):
            raise Failure(
                "You may not read or publish these messages. You need roles/pubsub.subscriber on"
                " the subscription and roles/pubsub.publisher on the topic.",
                ExitCode.NOT_AUTHORIZED,
            ) from error
        raise Unreachable(f"Pub/Sub: {error} Repeat the command.") from error
    except sqlite3.Error as error:
        raise Unreachable(f"The local database: {error}. Repeat the command.") from error

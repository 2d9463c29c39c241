"""The command `replay`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from cli.client.target import Choice, Target, find_target
from cli.failures import ExitCode, Failure, Unreachable
from cli.options import json_option, target_options
from cli.output import local_time, note, print_json, table

if TYPE_CHECKING:
    from cli.client.kept_messages import Kept, KeptMessage, Source

SOURCES: Final = ("dead", "rejected", "uploads-dead")


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
    from cli.client.kept_messages import Source

    replay = _Replay(Source(source), frozenset(message_ids), limit, rate if apply else None)
    with _errors_in_words():
        asyncio.run(replay.run(find_target(choice)))
    if as_json:
        print_json({"source": source, "applied": apply, "messages": replay.rows})
        _exit(replay)
        return
    if not replay.rows:
        note(
            f"No messages are kept in {source}." if not message_ids else "No such message is kept."
        )
    else:
        columns = ("id", "task_id", "received_at", "bytes", "outcome")
        rows = [
            [
                local_time(row[name]) if name == "received_at" else str(row[name] or "")
                for name in columns
            ]
            for row in replay.rows
        ]
        for line in table(["MESSAGE", "TASK OR OBJECT", "RECEIVED", "BYTES", "OUTCOME"], rows):
            click.echo(line)
        if not apply:
            note("This was a dry run. Once the cause is repaired, add --apply.")
    _exit(replay)


def _exit(replay: _Replay) -> None:
    missing = replay.wanted - {str(row["id"]) for row in replay.rows}
    if missing:
        raise Failure(f"Not among the kept messages: {', '.join(sorted(missing))}.")


class _Replay:
    """One run; ``rows`` say what became of each message. ``rate`` None is a dry run."""

    def __init__(
        self, source: Source, wanted: frozenset[str], limit: int | None, rate: float | None
    ) -> None:
        self._source = source
        self.wanted = wanted
        self._limit = limit
        self._rate = rate
        self.rows: list[dict[str, Any]] = []

    async def run(self, target: Target) -> None:
        from cli.client.kept_messages import open_kept

        kept = open_kept(target, self._source)
        read: dict[str, KeptMessage] = {}
        try:
            async for batch in kept.batches():
                read |= {each.message_id: each for each in batch}
                for each in batch:
                    if self._is_done():
                        return
                    is_wanted = not self.wanted or each.message_id in self.wanted
                    if is_wanted and await self._one(kept, each):
                        del read[each.message_id]
        finally:
            await kept.release(list(read.values()))
            await kept.close()

    def _is_done(self) -> bool:
        enough = self._limit is not None and len(self.rows) >= self._limit
        return enough or (bool(self.wanted) and len(self.rows) == len(self.wanted))

    async def _one(self, kept: Kept, each: KeptMessage) -> bool:
        """Publish and acknowledge a message, or only describe it; tells whether it is gone."""
        from cli.client.kept_messages import UNREADABLE, message_to_publish

        try:
            message = message_to_publish(self._source, each)
        except UNREADABLE as error:
            self._report(each, f"stays: {error.code}")
            return False
        if self._rate is None:
            self._report(each, "would be published")
            return False
        if self.rows:
            await asyncio.sleep(1 / self._rate)
        await kept.publish(message)
        await kept.acknowledge(each)
        self._report(each, "published")
        return True

    def _report(self, each: KeptMessage, outcome: str) -> None:
        attributes = each.message.attributes
        self.rows.append(
            {
                "id": each.message_id,
                "task_id": attributes.get("task_id") or attributes.get("objectId"),
                "kind": attributes.get("kind") or attributes.get("reason"),
                "received_at": attributes.get("received_at") or each.published_at.isoformat(),
                "bytes": len(each.message.data),
                "outcome": outcome,
            }
        )


@contextmanager
def _errors_in_words() -> Iterator[None]:
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

"""The command `events`: what the topic of results has told."""

from __future__ import annotations

import asyncio
from typing import Final

import click
import msgspec

from cli.client.target import Choice, Target, find_target
from cli.commands.replay import errors_in_words
from cli.failures import ExitCode, Failure
from cli.options import json_option, target_options
from cli.output import clean, colored, local_time, note, print_json, source_of
from transcripts.results.answers import Summary

POLL_S: Final = 1.0


@click.command("events")
@click.option("--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
@json_option
@target_options
def events_command(*, follow: bool, as_json: bool, choice: Choice) -> None:
    """Show the events of results on the local stack, oldest first.

    A program that subscribes to the topic gets the same messages. --json prints a line for each.
    """
    target = find_target(choice)
    if target.stack is None:
        raise Failure(
            "Only the local stack keeps events. docs/events.md shows how to subscribe to the topic"
            " of a deployment.",
            ExitCode.USAGE,
        )
    if not as_json:
        target.announce_sample()
    with errors_in_words():
        shown = asyncio.run(_show(target, follow=follow, as_json=as_json))
    if not shown and not as_json:
        note("There are no events yet. Submit something: transcripts submit FILE")


async def _show(target: Target, *, follow: bool, as_json: bool) -> int:
    """Show every message once, and return how many there are. None is acknowledged."""
    from cli.client.kept_messages import KeptFrom, open_kept

    seen: set[str] = set()
    kept = open_kept(target, KeptFrom.RESULTS)
    try:
        while True:
            async for each in kept.read():
                if each.message_id in seen:
                    continue
                seen.add(each.message_id)
                attributes, data = dict(each.message.attributes), each.message.data
                if as_json:
                    content = {
                        "message_id": each.message_id,
                        "published_at": each.published_at,
                        "attributes": attributes,
                        "data": msgspec.Raw(data),
                    }
                    print_json(content, lines=True)
                    continue
                task = msgspec.json.decode(data, type=Summary)
                moment, source = local_time(each.published_at), clean(source_of(task))
                click.echo(
                    f"{moment}  {task.task_id}  {colored(task.status, 12)}  {source}".rstrip()
                )
            if not follow:
                return len(seen)
            await asyncio.sleep(POLL_S)
    finally:
        await kept.close()

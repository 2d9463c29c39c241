"""Following submissions and tasks until each has ended, through lost connections."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from cli.client.api import Api
from cli.client.lookup import Found, NotFound, find
from cli.failures import ExitCode, Failure, Unreachable
from cli.output import clean, colored, note, print_json

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 10.0
REPORT_EVERY_S: Final = 10.0
APPEARS_WITHIN_S: Final = 60.0
"""A new object's submission exists once the bucket's event was delivered."""


@dataclass
class Watch:
    """The subjects to follow; ``names`` are shown for them, ``found`` holds their last states."""

    api: Api
    subjects: Sequence[str]
    timeout_s: float | None
    as_json: bool
    names: dict[str, str] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    is_new: bool = False
    """Whether the subjects were submitted just now, and may not be known yet."""

    def run(self) -> ExitCode:
        """Return when all have ended: OK, or TASK_FAILED if one did not succeed.

        Raises ``Failure``: CANCELED after the time-out, and what cannot be repaired by waiting.
        """
        started = reported = time.monotonic()
        pause_s = FIRST_PAUSE_S
        while waiting := [subject for subject in self.subjects if self._is_open(subject)]:
            changed = False
            for subject in waiting:
                appears = self.is_new and time.monotonic() - started < APPEARS_WITHIN_S
                changed |= self._look(subject, appears=appears)
            waiting = [subject for subject in waiting if self._is_open(subject)]
            if not waiting:
                break
            pause_s = FIRST_PAUSE_S if changed else min(pause_s * 1.5, MAX_PAUSE_S)
            now = time.monotonic()
            if self.timeout_s is not None and now + pause_s - started > self.timeout_s:
                raise Failure(
                    f"Not ended within {self.timeout_s:g} s: {', '.join(map(self._name, waiting))}."
                    f" Go on: transcripts watch {' '.join(waiting)}",
                    ExitCode.CANCELED,
                )
            if now - reported >= REPORT_EVERY_S and not sys.stderr.isatty():
                reported = now
                note(f"{now - started:.0f} s: {len(waiting)} of {len(self.subjects)} not ended")
            time.sleep(pause_s)
        codes = {found.exit_code for found in self.found.values()}
        return ExitCode.OK if codes == {ExitCode.OK} else ExitCode.TASK_FAILED

    def _name(self, subject: str) -> str:
        return clean(self.names.get(subject, subject))

    def _is_open(self, subject: str) -> bool:
        return subject not in self.found or self.found[subject].is_pending

    def _look(self, subject: str, *, appears: bool) -> bool:
        """Look once; tells whether anything has changed."""
        before = self.found.get(subject)
        try:
            found = find(self.api, subject)
        except NotFound:
            if appears or before is not None:
                return False
            raise
        except Unreachable as error:
            stack = self.api.target.stack
            if stack is not None and not stack.is_running():
                raise
            note(f"{error.message} The watch goes on.")
            return False
        self.found[subject] = found
        if before is not None and before.state == found.state:
            return before.task is None and found.task is not None
        self._print(subject, found)
        return True

    def _print(self, subject: str, found: Found) -> None:
        submission = found.submission
        reason = submission.reason if submission else None
        if self.as_json:
            content = {
                "subject": self.names.get(subject, subject),
                "submission_id": submission.submission_id if submission else None,
                "task_id": found.task_id,
                "state": found.state,
                "reason": reason,
                "next_step": found.next_step,
            }
            print_json(content, lines=True)
            return
        words = [time.strftime("%H:%M:%S"), self._name(subject), colored(found.state)]
        words += [f"task {found.task_id}"] if found.task_id else []
        words += [reason] if reason else []
        click.echo("  ".join(words))
        if not found.is_pending and found.next_step:
            click.echo(f"          {found.next_step}")

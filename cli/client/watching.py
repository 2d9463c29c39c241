"""Following submissions and tasks until each has ended, through lost connections."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import indent
from typing import Final

import click

from cli.client.api import Api
from cli.client.lookup import Found, NotFound, find_result
from cli.failures import ExitCode, Failure, Unreachable
from cli.output import clean, clock, colored, is_lively, note, print_json, shortened

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 10.0
APPEARS_WITHIN_S: Final = 60.0
"""A new object's submission exists once the bucket's event was delivered."""

_CLEAR_LINE: Final = "\r\x1b[K"


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
        After Ctrl-C it says how to go on.
        """
        if not self.as_json:
            self.api.target.announce_sample()
        started = time.monotonic()
        pause_s = FIRST_PAUSE_S
        try:
            while waiting := self._waiting():
                changed = False
                for subject in waiting:
                    appears = self.is_new and time.monotonic() - started < APPEARS_WITHIN_S
                    changed |= self._look(subject, appears=appears)
                if not self._waiting():
                    break
                pause_s = FIRST_PAUSE_S if changed else min(pause_s * 1.5, MAX_PAUSE_S)
                now = time.monotonic()
                if self.timeout_s is not None and now + pause_s - started > self.timeout_s:
                    names = ", ".join(map(self._name, self._waiting()))
                    text = f"Not ended within {self.timeout_s:g} s: {names}. {self._go_on()}"
                    raise Failure(text, ExitCode.CANCELED)
                self._pause(pause_s, started)
        except KeyboardInterrupt:
            note(f"\nNothing is lost: it goes on without this command. {self._go_on()}")
            raise
        codes = {found.exit_code for found in self.found.values()}
        return ExitCode.OK if codes == {ExitCode.OK} else ExitCode.TASK_FAILED

    def _waiting(self) -> list[str]:
        return [
            subject
            for subject in self.subjects
            if subject not in self.found or self.found[subject].is_pending
        ]

    def _go_on(self) -> str:
        return f"Go on: transcripts watch {shlex.join(self._waiting())}"

    def _name(self, subject: str) -> str:
        return clean(self.names.get(subject, subject))

    def _pause(self, pause_s: float, started: float) -> None:
        """Wait; a terminal shows meanwhile for how long, and what is expected."""
        if not is_lively():
            time.sleep(pause_s)
            return
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            line = self._living_line(time.monotonic() - started)
            room = shutil.get_terminal_size().columns - 1
            click.echo(f"{_CLEAR_LINE}{shortened(line, room, at_end=True)}", nl=False, err=True)
            time.sleep(min(left_s, 1.0))
        click.echo(_CLEAR_LINE, nl=False, err=True)

    def _living_line(self, waited_s: float) -> str:
        waiting = self._waiting()
        found = self.found.get(waiting[0])
        expected = found.expected if found else "It appears within seconds."
        count = f"{len(waiting)} of {len(self.subjects)}  " if len(self.subjects) > 1 else ""
        state = found.state if found else "new"
        return f"{clock(waited_s)}  {count}{self._name(waiting[0])}  {state}: {expected}"

    def _look(self, subject: str, *, appears: bool) -> bool:
        """Look once; tells whether anything has changed."""
        before = self.found.get(subject)
        try:
            found = find_result(self.api, subject)
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
        if before is None:
            found.announce(self._name(subject))
        elif before.state == found.state:
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
            click.echo(indent(found.next_step, " " * 10))

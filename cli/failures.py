"""Why a command of ``transcripts`` stops, and with which exit code.

The codes are listed in docs/commands.md.
"""

from __future__ import annotations

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELED = 3
    NOT_AUTHORIZED = 4
    TASK_FAILED = 5
    PENDING = 8
    INTERRUPTED = 130


class Failure(click.ClickException):
    """An error that the user can act on. The message says what is wrong and what to do."""

    reason = "failed"
    """A stable code, for ``--json``."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_status = code


class Unreachable(Failure):
    """A server did not answer, or said that it cannot answer now; a later attempt may succeed."""

    reason = "unreachable"


class ApiError(Failure):
    """A function answered with an error. ``code`` is stable; ``details`` depend on it."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        details: dict[str, object],
        exit_code: ExitCode = ExitCode.FAILED,
    ) -> None:
        super().__init__(message, exit_code)
        self.status = status
        self.code = self.reason = code
        self.details = details

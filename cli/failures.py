"""Why a command of ``transcripts`` stops, and with which exit code.

The codes are listed in docs/commands.md.
"""

from __future__ import annotations

from enum import IntEnum

import click
import msgspec

from transcripts.errors import ErrorAnswer, ErrorContent


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
        if code is ExitCode.NOT_AUTHORIZED:
            self.reason = "not_authorized"


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


def exit_code_of(error: Exception) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, Failure):
        return error.exit_status
    return error.exit_code if isinstance(error, click.ClickException) else ExitCode.FAILED


def show(error: Exception, *, as_json: bool) -> None:
    """Say on stderr why a command stops; as JSON in the shape of the functions' errors."""
    if not as_json and isinstance(error, click.ClickException):
        error.show()
        return
    code, details = "bug", {}
    if isinstance(error, click.ClickException):
        message = error.format_message()
        code = error.reason if isinstance(error, Failure) else "usage"
        details = error.details if isinstance(error, ApiError) else {}
    elif isinstance(error, OSError):
        code, message = "system", f"{error.filename or 'The output'}: {error.strerror or error}."
    else:
        message = (
            f"{type(error).__name__}: {error}\n"
            "This is a bug. Repeat the command with TRANSCRIPTS_DEBUG=1 and report it."
        )
    if as_json:
        answer = ErrorAnswer(ErrorContent(code, message, details))
        click.echo(msgspec.json.encode(answer).decode(), err=True)
    else:
        click.echo(f"Error: {message}", err=True)

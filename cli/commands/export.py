"""The command `export`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from cli.client.api import open_api
from cli.client.lookup import WAITING, task_id_of
from cli.client.target import Choice
from cli.failures import ApiError, ExitCode, Failure
from cli.options import target_options
from cli.output import note
from transcripts.exports.options import OPTIONS
from transcripts.exports.registry import FORMATS

DEFAULT: Final = "srt"


def _export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that results reads from the query."""
    for name, option in reversed(list(OPTIONS.items())):
        flag, words = f"--{name.replace('_', '-')}", f"{option.description}."
        if "true" in option.values:
            command = click.option(flag, is_flag=True, help=words)(command)
        else:
            command = click.option(flag, type=click.Choice(list(option.values)), help=words)(
                command
            )
    return command


@click.command("export")
@click.argument("subject", metavar="TASK")
@click.option(
    "-f",
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    help=f"By default that of the output's name, else {DEFAULT}.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file, or a folder for a file with a readable name; by default stdout.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@_export_options
@target_options
def export_command(
    *,
    subject: str,
    name: str | None,
    output: Path | None,
    force: bool,
    choice: Choice,
    **options: str | bool | None,
) -> None:
    """Write a transcript as subtitles, a document, a table or JSON.

    TASK is the id of a task, an asset id, a gs:// address or a file.
    """
    to_stdout = output is None or str(output) == "-"
    name = name or (None if output is None else _format_of(output)) or DEFAULT
    if name == "docx" and to_stdout and sys.stdout.isatty():
        raise Failure("A Word document is no text. Add -o FILE.docx", ExitCode.USAGE)
    api = open_api(choice)
    task_id = task_id_of(api, subject)
    query = {each: value or None for each, value in options.items()}
    try:
        with api.stream(f"/tasks/{task_id}.{name}", query) as (headers, chunks):
            if output is None or to_stdout:
                _to_stdout(chunks)
            else:
                path = output / _file_name(headers) if output.is_dir() else output
                _to_file(path, chunks, force=force)
                note(f"Written: {path}")
    except ApiError as error:
        if error.code == "no_transcript" and error.details.get("status") in WAITING:
            text = f"{error.message}\nWait for it: transcripts watch {subject}"
            raise Failure(text, ExitCode.PENDING) from error
        if error.code == "bad_option":
            raise Failure(error.message, ExitCode.USAGE) from error
        raise


def _format_of(path: Path) -> str | None:
    """Return the format whose name a file ends with, the longest first."""
    names = sorted(FORMATS, key=len, reverse=True)
    return next((name for name in names if path.name.lower().endswith(f".{name}")), None)


def _file_name(headers: Mapping[str, str]) -> str:
    """Return the name that results gives the file, without any folder."""
    from email.message import Message

    message = Message()
    message["Content-Disposition"] = headers.get("Content-Disposition", "")
    return Path(message.get_filename() or "transcript").name


def _to_stdout(chunks: Iterator[bytes]) -> None:
    stream = sys.stdout.buffer
    for chunk in chunks:
        stream.write(chunk)
    stream.flush()


def _to_file(path: Path, chunks: Iterator[bytes], *, force: bool) -> None:
    """Write a file under its name only once it is whole."""
    if path.exists() and not force:
        raise Failure(f"{path} exists. Add --force to replace it.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        partial.replace(path)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)

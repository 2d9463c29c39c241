"""The command `export`."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from cli.client.api import Api, open_api
from cli.client.lookup import WAITING, find_task, is_plain_id
from cli.client.target import Choice
from cli.failures import ApiError, ExitCode, Failure
from cli.options import SUBJECT, target_options
from cli.output import clean, note
from transcripts.exports.options import OPTIONS
from transcripts.exports.registry import FORMATS

DEFAULT: Final = "srt"
MAX_NAME_BYTES: Final = 255
"""Of a file on Linux."""

_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


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
@click.argument("subjects", metavar="TASK…", nargs=-1, required=True, type=SUBJECT)
@click.option(
    "-f",
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    help=f"By default that of the output's name, else {DEFAULT}.",
)
@click.option("--all-formats", is_flag=True, help="Every format, into the folder of --output.")
@click.option(
    "-o",
    "--output",
    help="A file, or a folder (FOLDER/ makes it) for files named as the recordings; else stdout.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@_export_options
@target_options
def export_command(
    *,
    subjects: tuple[str, ...],
    name: str | None,
    all_formats: bool,
    output: str | None,
    force: bool,
    choice: Choice,
    **options: str | bool | None,
) -> None:
    """Write transcripts as subtitles, documents, tables or JSON.

    TASK is an id or its beginning, an asset id, a gs:// address, a file or its name.
    """
    wanted = list(dict.fromkeys(subjects))
    several = all_formats or len(wanted) > 1
    if all_formats and name:
        raise Failure("Give --format or --all-formats, not both.", ExitCode.USAGE)
    place = None if output in (None, "-") else Path(output or "")
    if several and (place is None or (place.exists() and not place.is_dir())):
        raise Failure("Several files need a folder: -o FOLDER", ExitCode.USAGE)
    is_folder = place is not None and (several or place.is_dir() or str(output).endswith(os.sep))
    if place is not None and not is_folder:
        name = _format_of(place, name)
    formats = list(FORMATS) if all_formats else [name or DEFAULT]
    if place is None and formats == ["docx"] and sys.stdout.isatty():
        raise Failure("A Word document is no text. Add -o FILE.docx", ExitCode.USAGE)
    query = {each: value for each, value in options.items() if value}
    if not all_formats:
        _check_options(formats[0], query)
    api = open_api(choice)
    api.target.announce_sample()
    writer = _Writer(place, is_folder=is_folder, force=force)
    failures: list[Failure] = []
    for subject in wanted:
        try:
            _export(api, subject, formats, query, writer)
        except Failure as error:
            if len(wanted) == 1:
                raise
            failures.append(error)
            name = "" if error.message.startswith(subject) else f"{clean(subject)}  "
            note(f"{name}{error.message}")
    if failures:
        codes = {failure.exit_status for failure in failures}
        code = codes.pop() if len(codes) == 1 else ExitCode.FAILED
        raise Failure("Not everything was written. The lines above say why.", code)


def _export(
    api: Api, subject: str, formats: Sequence[str], query: Mapping[str, str | bool], writer: _Writer
) -> None:
    """Write one transcript in each format; raises ``Failure``."""
    task_id = subject if is_plain_id(subject) else find_task(api, subject)[1].task_id
    for name in formats:
        # With all formats, an option counts for those that have it.
        used = {k: v for k, v in query.items() if len(formats) == 1 or k in FORMATS[name].options}
        try:
            try:
                writer.write(api, task_id, name, used)
            except ApiError as error:
                if error.code != "task_not_found" or task_id != subject:
                    raise
                # It may be the id of a submission, the beginning of an id, or a name.
                task_id = find_task(api, subject)[1].task_id
                writer.write(api, task_id, name, used)
        except ApiError as error:
            if error.code == "no_transcript":
                waits = error.details.get("status") in WAITING
                code = ExitCode.PENDING if waits else ExitCode.TASK_FAILED
                step = f"Wait for it: transcripts watch {task_id}"
                why = f"Find out why: transcripts status {task_id}"
                text = f"There is no transcript. {step if waits else why}"
                raise Failure(text, code) from error
            raise


def _check_options(name: str, query: Mapping[str, str | bool]) -> None:
    """Raise ``Failure`` for an option that the format does not have."""
    flags = {each: f"--{each.replace('_', '-')}" for each in OPTIONS}
    known = ", ".join(flags[each] for each in OPTIONS if each in FORMATS[name].options)
    for each in query.keys() - FORMATS[name].options:
        text = f"{name} has no option {flags[each]}. Its options are: {known or 'none'}."
        raise Failure(text, ExitCode.USAGE)


def _format_of(path: Path, asked: str | None) -> str | None:
    """Return the format of a file with this name, if it has an extension.

    Raises ``Failure`` if that is no format, or another one than is ``asked`` for.
    """
    text = path.name.lower()
    names = sorted(FORMATS, key=len, reverse=True)
    found = next((name for name in names if text.endswith(f".{name}")), None)
    if not _EXTENSION.search(text):
        return asked
    if asked is not None and text.endswith(f".{asked.rpartition('.')[2]}"):
        return asked
    if found is None:
        raise Failure(
            f"{path.name} has the extension of no format. The formats are: {', '.join(FORMATS)}.",
            ExitCode.USAGE,
        )
    if asked is not None:
        raise Failure(f"{path.name} has the extension of {found}, not of {asked}.", ExitCode.USAGE)
    return found


class _Writer:
    """Writes transcripts to stdout, into one file, or into a folder."""

    def __init__(self, place: Path | None, *, is_folder: bool, force: bool) -> None:
        """``place`` is None for stdout."""
        self._place = place
        self._is_folder = is_folder
        self._force = force
        self._written: set[Path] = set()

    def write(self, api: Api, task_id: str, name: str, query: Mapping[str, str | bool]) -> None:
        """Write one file; raises ``Failure``."""
        with api.stream(f"/tasks/{task_id}.{name}", query) as (headers, chunks):
            place = self._place
            if place is None:
                for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                return
            try:
                if self._is_folder:
                    place.mkdir(parents=True, exist_ok=True)
                    place /= self._free_name(file_name(headers), name, task_id)
                self._to_file(place, chunks)
            except OSError as error:
                raise Failure(f"{place} cannot be written: {error.strerror}.") from error
            note(f"Written: {clean(str(place))}")

    def _free_name(self, file_name: str, format_name: str, task_id: str) -> str:
        """Return a name that no other recording of this run has; a file system limits its bytes."""
        stem = file_name.removesuffix(f".{format_name}")
        for end in (f".{format_name}", f".{task_id[:8]}.{format_name}"):
            room = MAX_NAME_BYTES - len(end.encode())
            name = stem.encode()[:room].decode(errors="ignore") + end
            if self._place and self._place / name not in self._written:
                self._written.add(self._place / name)
                return name
        return f"{task_id}.{format_name}"

    def _to_file(self, path: Path, chunks: Iterator[bytes]) -> None:
        """Write a file under its name only once it is whole; follow links, and keep the mode."""
        known = path.stat() if path.exists() else None
        if known is not None and not stat.S_ISREG(known.st_mode):
            with path.open("wb") as device:
                device.writelines(chunks)
            return
        if known is not None and _is_stdout(known):
            sys.stdout.buffer.writelines(chunks)
            sys.stdout.buffer.flush()
            return
        if known is not None and not self._force:
            raise Failure(f"{path} exists. Add --force to replace it.")
        target = path.resolve()
        partial = target.with_name(f".{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                file.writelines(chunks)
            if known is not None:
                shutil.copymode(target, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _is_stdout(known: os.stat_result) -> bool:
    """Tell whether ``/dev/stdout`` leads to this file, which the shell has opened."""
    try:
        return os.path.samestat(known, os.fstat(sys.stdout.fileno()))
    except OSError:
        return False


def file_name(headers: Mapping[str, str]) -> str:
    """Return the name that results gives the file, without any folder.

    ``filename*`` has it in any script, ``filename`` only what is ASCII of it
    (https://www.rfc-editor.org/rfc/rfc6266#section-4.3).
    """
    from email.message import Message
    from email.utils import collapse_rfc2231_value

    message = Message()
    message["Content-Disposition"] = headers.get("Content-Disposition", "")
    given = message.get_params([], "Content-Disposition")
    names = [value for key, value in given if key == "filename"]
    # The library puts parameters with a star last.
    return Path(collapse_rfc2231_value(names[-1]) if names else "transcript").name

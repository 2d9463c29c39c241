"""People's names for the speakers of a result.

Names are matched by ``name_key``, as everywhere. A speaker that a request does not name keeps the
display name, and no result changes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from unicodedata import category

import msgspec
from msgspec.structs import replace

from transcripts.errors import Conflict, RequestError, TaskNotFound
from transcripts.ports import Documents, Read, Snapshot, Write
from transcripts.results.etags import etag, names_match
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.retry import Retrier
from transcripts.tasks.speakers import ShownSpeaker, name_key
from transcripts.tasks.task import Speaker, SpeakerName, Status, Task, task_path

MAX_DISPLAY_NAME_CHARS: Final = 200

MAX_NAMES_BYTES: Final = 256 * 1024
"""All names together, in UTF-8. With 700 KiB of segments a task stays under the 1 MiB of a
document, so no later result is refused."""

_NAME_BYTES: Final = 64
"""Bytes of an entry beside its two names."""

_LISTED: Final = 10
"""So many unknown names are listed in an error."""

_FIELDS: Final = ("task_id", "status", "revision", "speech_s", "speakers", "speaker_names")

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")

Changes = Mapping[str, str | None]
"""The new display name of each speaker, None to take it away, by the speaker's name."""


class RenamedTask(msgspec.Struct, frozen=True):
    """The speakers after a change; ``etag`` is the task's new entity tag."""

    task_id: str
    speakers: list[ShownSpeaker]
    etag: str


def read_changes(body: bytes) -> Changes:
    """Read the body of a request; raises ``RequestError`` unless it maps names to names or null."""
    try:
        return msgspec.json.decode(body, type=dict[str, str | None])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            'Send a JSON object such as {"Speaker 1": "Ada", "Speaker 2": null}.'
        ) from error


def clean_display_name(text: str) -> str:
    """Return a display name in one line, in normal form C, without invisible characters.

    Raises ``RequestError`` for one that is blank, too long, or has control characters.
    """
    name = name_key(text)
    if not name:
        raise _bad_display_name("A display name is blank. Use null to take a name away.")
    if len(name) > MAX_DISPLAY_NAME_CHARS:
        raise _bad_display_name(
            f"A display name has more than {MAX_DISPLAY_NAME_CHARS} characters."
        )
    if _LONE_SURROGATE.search(name) or any(category(char) == "Cc" for char in name):
        raise _bad_display_name("A display name has control characters.")
    return name


def _bad_display_name(message: str) -> RequestError:
    return RequestError(message, code="bad_display_name")


def renamed(
    speakers: Sequence[Speaker],
    current: Sequence[SpeakerName],
    changes: Changes,
    named_by: str | None = None,
) -> list[SpeakerName]:
    """Return people's names after ``changes``, in the order in which they were first given. Pure.

    ``named_by`` is who gives them; who gives a name again that is there changes nothing.

    A name that is not in the result may be taken away if it was given to an earlier one. Raises
    ``RequestError``.
    """
    known = {name_key(speaker.name): speaker.name for speaker in speakers}
    names = {name_key(each.name): each for each in current}
    seen: set[str] = set()
    unknown: list[str] = []
    for name, display_name in changes.items():
        key = name_key(name)
        if key in seen:
            raise RequestError("Two of these names are the same speaker. Give each speaker once.")
        seen.add(key)
        if key not in known and not (display_name is None and key in names):
            unknown.append(name)
        elif display_name is None:
            names.pop(key, None)
        else:
            given = clean_display_name(display_name)
            if key not in names or names[key].display_name != given:
                names[key] = SpeakerName(known[key], given, named_by)
    if unknown:
        raise RequestError(
            "The result has no speaker of a name in details.names. Use the names as stored.",
            code="unknown_speaker",
            details={
                "names": [name[:MAX_DISPLAY_NAME_CHARS] for name in unknown[:_LISTED]],
                "count": len(unknown),
            },
        )
    if sum(map(_size, names.values())) > MAX_NAMES_BYTES:
        raise RequestError(
            f"All names together take more than {MAX_NAMES_BYTES} bytes. Use shorter ones.",
            code="names_too_long",
        )
    return list(names.values())


def _size(name: SpeakerName) -> int:
    texts = (name.name, name.display_name, name.named_by or "")
    return _NAME_BYTES + sum(len(text.encode()) for text in texts)


class SpeakerNames:
    """Changes people's names for speakers in a store of documents."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self._documents = documents
        self._retrier = retrier

    async def rename(
        self,
        task_id: str,
        changes: Changes,
        if_match: str | None = None,
        named_by: str | None = None,
    ) -> RenamedTask:
        """Give or take away names; with ``if_match`` only while these names are those of that tag.

        Raises ``RequestError`` (400, 404 ``task_not_found``, 412 ``changed_meanwhile``) and
        ``StoreUnavailable``.
        """
        path = task_path(task_id)
        written: list[SpeakerName] | None = None

        async def attempt() -> Snapshot[Task]:
            nonlocal written
            found = await self._read(path)
            if written is not None and found.value.speaker_names == written:
                # The commit happened, but its answer or the read after it was lost.
                return found
            if if_match is not None:
                tag = etag(found.version, found.value)
                if not names_match(if_match, tag, found.value, changes):
                    raise _changed_meanwhile()
            names = renamed(found.value.speakers, found.value.speaker_names, changes, named_by)
            if names == found.value.speaker_names:
                return found
            written = names
            task = replace(found.value, speaker_names=names)
            try:
                await self._documents.commit(
                    Write(path, task, ("speaker_names",), expect=found.version)
                )
            except Conflict:
                written = None
                raise
            return await self._read(path)

        found = await self._retrier.run(attempt)
        task = found.value
        shown = await TranscriptReader(self._documents, self._retrier).speakers(task)
        return RenamedTask(task_id, shown.listed, etag(found.version, task))

    async def _read(self, path: str) -> Snapshot[Task]:
        (found,) = await self._documents.read(Read(path, Task, _FIELDS))
        if found is None or found.value.status is Status.DELETED:
            raise TaskNotFound
        return found


def _changed_meanwhile() -> RequestError:
    return RequestError(
        "One of these names, or the result, has changed since you read the task. Read it again, and"
        " repeat the change.",
        code="changed_meanwhile",
        status=412,
    )

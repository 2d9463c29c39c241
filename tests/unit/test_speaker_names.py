"""People's names for speakers: which are taken, and how they are stored."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fakes import MemoryDocuments, Outage, Sleeper
from tests.unit.test_merge import a_result
from transcripts.changes.speaker_names import (
    MAX_DISPLAY_NAME_CHARS,
    MAX_NAMES_BYTES,
    SpeakerNames,
    clean_display_name,
    renamed,
)
from transcripts.errors import RequestError, StoreUnavailable
from transcripts.ports import Read, Write
from transcripts.results.etags import etag
from transcripts.retry import Retrier
from transcripts.tasks.speakers import name_key
from transcripts.tasks.task import Speaker, SpeakerName, Task, task_path
from transcripts.text import one_line


def speakers(*names: str) -> list[Speaker]:
    return [Speaker(f"s{n}", name, 1, 1, 1.0, 0.5, 0.0) for n, name in enumerate(names, 1)]


@given(st.text(max_size=40))
def test_clean_display_name_is_clean_or_refused(text: str) -> None:
    """A cleaned name stays the same when it is cleaned again, and exports show it unchanged."""
    try:
        name = clean_display_name(text)
    except RequestError as error:
        assert error.code == "bad_display_name"
        return
    assert name == clean_display_name(name) == one_line(name) == name_key(name)


def test_clean_display_name_keeps_every_script() -> None:
    """Joiners inside a name are spelling."""
    for name in ("Zoë", "山田 太郎", "محمد", "अमित शर्मा", "می\u200cخواهم", "👩\u200d🔬"):
        assert clean_display_name(name) == name
    assert len(clean_display_name("ä" * MAX_DISPLAY_NAME_CHARS)) == MAX_DISPLAY_NAME_CHARS


def test_renamed_names_together_are_bounded() -> None:
    """So that a task with all its names fits a document, whatever result comes later."""
    many = [f"{n:03d} " + "n" * 190 for n in range(500)]
    short = renamed(speakers(*many), [], dict.fromkeys(many, "x" * 200))
    assert len(short) == 500
    with pytest.raises(RequestError) as raised:
        renamed(speakers(*many), [], dict.fromkeys(many, "語" * 200))
    assert raised.value.code == "names_too_long"
    assert sum(len(each.display_name) for each in short) < MAX_NAMES_BYTES


def test_renamed_of_an_unknown_name_changes_nothing_else() -> None:
    """All of a request is done, or none of it."""
    current = [SpeakerName("Ada", "A")]
    with pytest.raises(RequestError) as raised:
        renamed(speakers("Ada"), current, {"Ada": "B", "Ben": "C"})
    assert raised.value.details == {"names": ["Ben"], "count": 1}
    assert current == [SpeakerName("Ada", "A")]


class Stored:
    """A task with one speaker, in memory."""

    def __init__(self) -> None:
        self.documents = MemoryDocuments()
        self.names = SpeakerNames(self.documents, Retrier(sleep=Sleeper()))

    async def put(self) -> None:
        task = replace(a_result(), speakers=speakers("Ada"))
        await self.documents.commit(Write(task_path("t"), task))

    async def tag(self) -> str:
        (found,) = await self.documents.read(Read(task_path("t"), Task))
        assert found is not None
        return etag(found.version, found.value)


async def test_rename_after_a_lost_answer_is_not_refused() -> None:
    """The change is there, though the entity tag has changed: by this very request."""
    stored = Stored()
    await stored.put()
    stored.documents.after = Outage(1)
    done = await stored.names.rename("t", {"Ada": "A"}, await stored.tag())
    assert [each.name for each in done.speakers] == ["A"]
    assert done.etag == await stored.tag()


async def test_rename_whose_new_state_cannot_be_read_at_once_is_not_refused() -> None:
    """The read after the commit fails once."""
    stored = Stored()
    await stored.put()
    tag = await stored.tag()

    def fails_after_the_commit(operation: str) -> None:
        if operation == "read" and len(stored.documents.commits) == 2:
            stored.documents.before = lambda _: None
            raise StoreUnavailable("no store")

    stored.documents.before = fails_after_the_commit
    done = await stored.names.rename("t", {"Ada": "A"}, tag)
    assert [each.name for each in done.speakers] == ["A"]


async def test_rename_reads_no_segments() -> None:
    """A transcript of any length is renamed at one cost: two reads and one commit."""
    stored = Stored()
    await stored.put()
    stored.documents.reads = 0
    await asyncio.wait_for(stored.names.rename("t", {"Ada": "A"}), 10)
    assert (stored.documents.reads, len(stored.documents.commits)) == (2, 2)
    assert stored.documents.commits[-1][0].fields == ("speaker_names",)

"""The function `reader`: everything that can be read, and no change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cli.failures import ExitCode
from tests.command_line import served, transcripts
from tests.fakes import MemoryDocuments
from tests.functional.framework import load
from tests.functional.viewer_pages import NAVIGATION, OWN_SITE, Page, fill
from tests.results import Results
from tests.viewer import a_transcript
from transcripts import backends
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.ports import Write
from transcripts.tasks.task import SpeakerName, task_path


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Results:
    memory = MemoryDocuments()
    monkeypatch.setattr(backends, "open_documents", lambda *_: memory)

    async def remove(path: str) -> None:
        del memory.content[path]

    loaded = load("reader", {"GOOGLE_CLOUD_PROJECT": "p"}, monkeypatch)
    return Results(loaded, memory, remove)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/tasks/t/speaker_names"),
        ("DELETE", "/tasks/t?asset=true"),
        ("DELETE", "/submissions/s"),
        ("POST", "/tasks/t/renormalize"),
        ("POST", "/view/t/names"),
        ("PUT", "/nothing"),
    ],
)
async def test_change_is_refused_with_one_answer(reader: Results, method: str, path: str) -> None:
    """Whatever is there; the answer says where changes are made."""
    await reader.put(a_transcript())
    before = await reader.stored("t")
    answer = await reader.request(method, path, json={"Speaker 1": "Eve"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "read_only")
    assert "results" in answer.json()["error"]["message"]
    assert await reader.stored("t") == before


async def test_change_by_a_browser_is_refused_with_a_page(reader: Results) -> None:
    """In words."""
    answer = await reader.request("POST", "/view/t/names", headers=OWN_SITE)
    assert answer.status_code == 403
    assert "for readers" in Page(answer).text


async def test_everything_that_can_be_read_is_answered(reader: Results) -> None:
    """By programs and by people."""
    await fill(reader)
    await reader.put(a_transcript())
    paths = ("/", "/view/t", "/tasks", "/tasks/t", "/tasks/t.srt", "/submissions", "/accounting")
    for path in paths:
        assert (await reader.get(path)).status_code == 200, path
        assert (await reader.request("HEAD", path)).status_code == 200, path


async def test_page_has_no_form_that_changes(reader: Results) -> None:
    """No link leads to one either."""
    await reader.put(a_transcript(speaker_names=[SpeakerName("Speaker 1", "Ada", "a@b.c")]))
    answer = await reader.get("/view/t", headers=NAVIGATION)
    page = Page(answer)
    assert "post" not in {form.method for form in page.forms}
    assert not any("rename" in each for each in page.attributes("href"))
    assert "Ada" in page.text


async def test_reader_that_is_broken_into_finds_nothing_to_change_by(reader: Results) -> None:
    """The entry is made without what changes names, deletes or makes results again."""
    module: Any = reader.loaded.module
    assert not {"Deletion", "SpeakerNames", "Renormalizer", "Deleter"} & set(vars(module))


def test_command_says_where_a_name_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show` reads through the same address."""
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(tmp_path)}
    loaded = load("reader", environ, monkeypatch)
    documents = SqliteDocuments(Database(tmp_path))
    asyncio.run(documents.commit(Write(task_path("t"), a_transcript())))
    with served(loaded.app) as url:
        monkeypatch.setenv("TRANSCRIPTS_URL", url)
        assert transcripts("show", "t").exit_code == 0
        refused = transcripts("rename", "t", "Speaker 1=Eve")
    assert refused.exit_code == ExitCode.FAILED
    assert "which is for readers" in refused.stderr
    documents._database.close()

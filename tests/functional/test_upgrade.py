"""Documents of an older and of a later version, read and changed by the present code."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.functional.served_results import do, ok, results, store
from tests.results import Results
from transcripts import VERSION
from transcripts.embedded.database import FILE_NAME

__all__ = ["results"]

TASK_ID = "of-an-older-version"
LINE: dict[str, Any] = {
    "start_time": 0,
    "end_time": 3,
    "speaker": "Ada Example",
    "text": "Good morning.",
}
SINCE_ADDED = ("anomalies", "character_count", "schema_version", "speech_s", "usage", "word_count")
"""Fields of a result that an older document may lack."""

OF_A_LATER_VERSION: dict[str, Any] = {"tone": {"warm": True}}


@pytest.fixture
def path(results: Results, tmp_path: Path) -> Path:
    """A database with one document that lacks fields and has one that nobody knows."""
    do(store(results, TASK_ID, LINE))
    path = tmp_path / "data" / FILE_NAME
    document = read(path)
    for name in SINCE_ADDED:
        del document[name]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE document SET data = ? WHERE path = ?",
            (json.dumps(document | OF_A_LATER_VERSION), f"tasks/{TASK_ID}"),
        )
    return path


def read(path: Path) -> dict[str, Any]:
    """Return the stored document."""
    with closing(sqlite3.connect(path)) as connection:
        (data,) = connection.execute(
            "SELECT data FROM document WHERE path = ?", (f"tasks/{TASK_ID}",)
        ).fetchone()
    document: dict[str, Any] = json.loads(data)
    return document


def test_document_of_an_older_version_is_read_by_every_command(path: Path) -> None:
    """What it lacks has its default."""
    assert path.exists()
    assert TASK_ID in ok("list").stdout
    assert "Good morning." in ok("show", TASK_ID).stdout
    assert "Good morning." in ok("export", TASK_ID).stdout
    assert json.loads(ok("status", TASK_ID, "--json").stdout)["state"] == "succeeded"


def test_field_of_a_later_version_survives_what_people_change(path: Path) -> None:
    """After a rollback, the older code keeps what it does not know."""
    ok("rename", TASK_ID, "Ada Example=Ada")
    document = read(path)
    assert [each["display_name"] for each in document["speaker_names"]] == ["Ada"]
    assert document.items() >= OF_A_LATER_VERSION.items()


def test_renormalize_adds_what_an_older_version_did_not_store(path: Path) -> None:
    """It is made from the stored callback; people's names stay."""
    ok("rename", TASK_ID, "Ada Example=Ada")
    ok("renormalize", TASK_ID)
    document = read(path)
    assert document["word_count"] == 2
    assert document["character_count"] == len(LINE["text"])
    assert [each["display_name"] for each in document["speaker_names"]] == ["Ada"]


def test_version_is_in_the_command_the_page_and_every_log_line(results: Results) -> None:
    """An operator compares the checkout with what is deployed."""
    assert ok("--version").stdout == f"transcripts {VERSION}\n"
    page = do(_page(results))
    assert f'<meta name="generator" content="mavi-transcripts {VERSION}">' in page
    do(_deleted(results))
    assert {line["version"] for line in results.log} == {VERSION}


async def _page(results: Results) -> str:
    async with results.loaded.client() as http:
        return (await http.get("/", headers={"Accept": "text/html"})).text


async def _deleted(results: Results) -> None:
    await store(results, TASK_ID, LINE)
    async with results.loaded.client() as http:
        assert (await http.delete(f"/tasks/{TASK_ID}")).status_code == 204

"""Compressed answers: which ones are, and that nothing else changes."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests.functional.viewer_pages import memory, results
from tests.results import LONG, Results
from tests.viewer import a_transcript
from transcripts.viewer.rendering import asset_path

__all__ = ["memory", "results"]

TEXTS = ("/tasks/t", "/tasks/t.srt", "/tasks/t.ttml", "/view/t", "/", asset_path("viewer.css"))


async def raw(results: Results, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Return an answer, and its bytes as they were sent."""
    given = {"Accept-Encoding": "identity"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        results.loaded.client() as client,
        client.stream("GET", path, headers=given) as answer,
    ):
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


@pytest.mark.parametrize("path", TEXTS)
async def test_text_is_compressed_if_the_client_accepts_it(results: Results, path: str) -> None:
    """The content is the same, and a cache learns that it depends on the request."""
    await results.put(a_transcript(count=400, labels={}))
    cookie = {"Cookie": f"csrf={'c' * 43}"}
    plain, content = await raw(results, path, **cookie)
    packed, data = await raw(results, path, Accept_Encoding="br, gzip;q=0.9", **cookie)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(data) == content
    assert len(data) < len(content) / 2
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert plain.headers["Content-Type"] == packed.headers["Content-Type"]


async def test_answer_that_is_compressed_already_is_sent_as_it_is(results: Results) -> None:
    """A Word document is a ZIP file; a short answer would not become shorter."""
    await results.put(a_transcript(count=400))
    for path in ("/tasks/t.docx", "/tasks/none"):
        answer, data = await raw(results, path, Accept_Encoding="gzip")
        assert "Content-Encoding" not in answer.headers
        assert data == (await raw(results, path))[1]


async def test_page_that_another_site_asks_for_is_not_compressed(results: Results) -> None:
    """Its length would tell whether the text that the address names stands in the transcript."""
    await results.put(a_transcript(count=400))
    answer, _ = await raw(
        results, "/view/t?q=x", Accept_Encoding="gzip", Sec_Fetch_Site="cross-site"
    )
    assert "Content-Encoding" not in answer.headers


async def test_compressed_task_is_known_again_by_its_weak_tag(results: Results) -> None:
    """Other bytes are another representation; it is the same state all the same."""
    await results.put(a_transcript(count=400))
    plain, _ = await raw(results, "/tasks/t")
    packed, _ = await raw(results, "/tasks/t", Accept_Encoding="gzip")
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    for tag in (plain.headers["ETag"], packed.headers["ETag"]):
        again, data = await raw(results, "/tasks/t", Accept_Encoding="gzip", If_None_Match=tag)
        assert (again.status_code, data) == (304, b"")
    answer = await results.request(
        "PATCH",
        "/tasks/t/speaker_names",
        json={"Speaker 1": "Ada"},
        headers={"If-Match": packed.headers["ETag"]},
    )
    assert answer.status_code == 200


async def test_long_answer_is_compressed_while_it_is_written(results: Results) -> None:
    """Every page of the transcript is in it."""
    await results.put_result(count=LONG)
    answer, data = await raw(results, "/tasks/t.txt", Accept_Encoding="gzip")
    assert "Content-Length" not in answer.headers
    assert gzip.decompress(data) == (await raw(results, "/tasks/t.txt"))[1]

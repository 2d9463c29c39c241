"""The contract of exports and of streamed transcripts, on every backend."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.results import LONG, Results, a_task
from transcripts.exports.export import export
from transcripts.exports.options import Options, SpeakerLabels
from transcripts.exports.registry import FORMATS
from transcripts.ports import Read, Write
from transcripts.tasks.task import (
    Source,
    SpeakerName,
    Status,
    page_path,
)


class ExportsContract:
    """Subclasses give a fixture ``results``, whose store is empty."""

    @pytest.mark.untraced
    @pytest.mark.parametrize("name", sorted(FORMATS))
    async def test_export_is_what_the_writer_writes(self, results: Results, name: str) -> None:
        """With people's names; a file that is streamed and a zip also for several pages."""
        result = await results.put_result(count=LONG if name in ("srt", "docx") else 30)
        named = replace(result, speaker_names=[SpeakerName("Ada Example", "Äda")])
        await results.documents.commit(Write("tasks/t", named, ("speaker_names",)))
        answer = await results.get(f"/tasks/t.{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == FORMATS[name].media_type
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment; ")
        assert f"filename*=UTF-8''t.{name}" in disposition
        stored = await results.stored("t")
        assert answer.content == b"".join(export(name, stored, result.segments))

    async def test_export_has_a_readable_file_name(self, results: Results) -> None:
        """It is that of the object, in any script."""
        await results.put_result()
        task = replace(await results.stored("t"), source=Source("gs://b/a/会議 1.mp4", "1"))
        await results.documents.commit(Write("tasks/t", task, ("source",)))
        disposition = (await results.get("/tasks/t.srt")).headers["Content-Disposition"]
        assert f"filename*=UTF-8''{quote('会議 1.srt')}" in disposition

    async def test_export_follows_its_options(self, results: Results) -> None:
        """Those of its format."""
        result = await results.put_result()
        answer = await results.get("/tasks/t.srt?max_chars=32&speakers=always&bom=true")
        options = Options(32, SpeakerLabels.ALWAYS, bom=True)
        stored = await results.stored("t")
        assert answer.content == b"".join(export("srt", stored, result.segments, options))
        assert answer.content.startswith(b"\xef\xbb\xbf")

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("max_chars=33", "bad_option"),
            ("raw=true", "bad_option"),
            ("speakers=", "bad_option"),
            ("bom=1&bom=1", "bad_parameter"),
        ],
    )
    async def test_export_with_a_bad_option_returns_400(
        self, results: Results, query: str, code: str
    ) -> None:
        """Unknown, wrong or repeated."""
        await results.put_result()
        assert (await results.error(f"/tasks/t.srt?{query}", 400))["code"] == code

    @pytest.mark.parametrize("name", ["pdf", "SRT", "audacity", "srt.txt", "srt "])
    async def test_export_in_an_unknown_format_returns_404(
        self, results: Results, name: str
    ) -> None:
        """The error lists the formats."""
        await results.put_result()
        error = await results.error(f"/tasks/t.{name}", 404)
        assert (error["code"], error["details"]["formats"]) == ("unknown_format", list(FORMATS))

    async def test_export_without_a_transcript_returns_409(self, results: Results) -> None:
        """The error says what to do; silence is a transcript."""
        for status in set(Status) - {Status.DELETED}:
            await results.put(a_task(status, status=status))
            if status is Status.SUCCEEDED:
                assert (await results.get(f"/tasks/{status}.txt")).content == b""
                continue
            error = await results.error(f"/tasks/{status}.txt", 409)
            assert error["code"] == "no_transcript"
            assert error["details"] == {"status": status}
            assert "." in error["message"][:-1]

    async def test_transcript_with_a_missing_page_returns_410(self, results: Results) -> None:
        """Before the first byte of a part that looks whole."""
        await results.put_result(count=LONG)
        stored = await results.stored("t")
        assert stored.revision is not None
        await results.remove(page_path("t", stored.revision, stored.pages - 1))
        for path in ("/tasks/t", "/tasks/t.srt", "/tasks/t.docx"):
            error = await results.error(path, 410)
            assert error["code"] == "transcript_incomplete"

    async def test_transcript_replaced_before_it_begins_is_the_new_one(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader of the old revision begins again."""
        await results.put_result(count=LONG, revision="r1")
        pages = (await results.stored("t")).pages
        new = await results.put_result(count=LONG + 1, revision="r2")
        documents: Any = results.documents
        read = documents.read
        replaced = False

        async def replacing(*reads: Read[Any]) -> Any:
            """Answer the first read of the task with the old result, whose pages are gone."""
            nonlocal replaced
            found = await read(*reads)
            if not replaced and reads[0].path == "tasks/t":
                replaced = True
                old = replace(found[0].value, revision="r1", pages=pages)
                return [type(found[0])(old, b"old version")]
            return found

        for index in range(pages):
            await results.remove(page_path("t", "r1", index))
        for path in ("/tasks/t", "/tasks/t.json"):
            replaced = False
            with monkeypatch.context() as patch:
                patch.setattr(documents, "read", replacing)
                answer = await results.get(path)
            assert answer.status_code == 200
            content = answer.json()
            assert content["revision"] == "r2"
            assert len(content["segments"]) == len(new.segments)

    @pytest.mark.parametrize("path", ["/tasks/t", "/tasks/t.srt", "/tasks/t.whisperx.json"])
    async def test_transcript_that_loses_a_page_breaks_its_connection(
        self, results: Results, path: str
    ) -> None:
        """The answer has begun, so only a broken connection can tell that a part is missing."""
        await results.put_result(count=LONG)
        stored = await results.stored("t")
        last = page_path("t", stored.revision or "", stored.pages - 1)
        stream = results.stream(path)
        await stream.run(on_start=lambda: results.remove(last))
        assert stream.answer.status == 200
        assert stream.answer.body
        assert not stream.complete
        (line,) = [line for line in results.log if line["severity"] != "INFO"]
        assert (line["message"], line["code"]) == ("stream_broken", "transcript_incomplete")

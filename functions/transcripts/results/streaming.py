"""Answers of any length, written while they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from transcripts.errors import TranscriptsError
from transcripts.exports.export import export
from transcripts.exports.options import Options
from transcripts.logs import Log
from transcripts.results.transcript_pages import OpenTranscript
from transcripts.results.views import task_head
from transcripts.tasks.task import Segment

CHUNK_BYTES: Final = 64 * 1024


class StreamBroken(Exception):
    """A stream can't go on, and its reader must learn it."""


class _StreamedAnswer(StreamingResponse):
    """A stream whose connection is closed early when it breaks.

    The server closes a connection whose answer is not complete. The client then sees an error,
    where a regular end would make a part of a transcript look whole.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except StreamBroken:
            return


async def streamed(
    request: Request,
    log: Log,
    chunks: AsyncIterator[bytes],
    *,
    media_type: str,
    headers: Mapping[str, str],
) -> Response:
    """Answer 200 with ``chunks``, of which the first is there before the answer begins.

    So an error in the first chunk is an answer of its own. A later error is logged and ends the
    connection.
    """
    if request.method == "HEAD":
        answer = Response(None, 200, dict(headers), media_type)
        # The length of what GET would answer is not known.
        del answer.headers["Content-Length"]
        return answer
    first = await anext(chunks, b"")

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        try:
            async for chunk in chunks:
                yield chunk
        except TranscriptsError as error:
            log.warning("stream_broken", code=error.code, reason=error.log_text)
            raise StreamBroken from error
        except Exception as error:
            log.unexpected("unexpected_error", error)
            raise StreamBroken from error

    return _StreamedAnswer(all_chunks(), 200, dict(headers), media_type)


async def task_json(transcript: OpenTranscript) -> AsyncIterator[bytes]:
    """Write a whole task as JSON, its segments last."""
    encode = msgspec.json.Encoder().encode
    speakers = await transcript.speakers()
    joined = len(speakers.listed) < len(transcript.task.speakers)
    chunk = encode(task_head(transcript.task, speakers))[:-1] + b',"segments":['
    separator = b""
    async for page in transcript.pages():
        if joined:
            page = [replace(each, speaker=speakers.of(each.speaker).id) for each in page]  # noqa: PLW2901 - one page, with joined speakers
        segments = encode(page)[1:-1]
        if segments:
            yield chunk + separator + segments
            chunk, separator = b"", b","
    yield chunk + b"]}"


Write = Callable[[Iterator[Segment]], Iterator[bytes]]
"""Writes an answer from segments, which it reads once."""


async def exported(
    format_name: str, transcript: OpenTranscript, options: Options
) -> AsyncIterator[bytes]:
    """Write an export."""
    speakers = await transcript.speakers()

    def write(segments: Iterator[Segment]) -> Iterator[bytes]:
        return export(format_name, transcript.task, segments, options, speakers)

    async for chunk in written(transcript, write):
        yield chunk


async def written(transcript: OpenTranscript, write: Write) -> AsyncIterator[bytes]:
    """Write a transcript. The writer runs in a thread, and waits there for each page."""
    pages = _PagesForThread(transcript, asyncio.get_running_loop())
    chunks = write(pages.segments())
    while chunk := await asyncio.to_thread(_take, chunks):
        yield chunk


def _take(chunks: Iterator[bytes]) -> bytes:
    """Return the next bytes, ``CHUNK_BYTES`` or more; nothing at the end.

    A writer may yield small pieces, and one change of threads for each takes longer than writing.
    """
    taken: list[bytes] = []
    size = 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES:
            break
    return b"".join(taken)


class _PagesForThread:
    """Reads pages for a writer that knows nothing of the event loop."""

    def __init__(self, transcript: OpenTranscript, loop: asyncio.AbstractEventLoop) -> None:
        self._transcript = transcript
        self._loop = loop

    def segments(self) -> Iterator[Segment]:
        for index in range(self._transcript.page_count):
            yield from self._page(index)

    def _page(self, index: int) -> Sequence[Segment]:
        reading = asyncio.run_coroutine_threadsafe(self._transcript.page(index), self._loop)
        return reading.result()

"""A failed request of the client is classified: never sent, or its answer is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from cli.local.processes import free_port
from tests.functional.provider import KEY, PATIENT, client, nothing, server
from transcripts.mavi.answers import AnswerLost, NotSent, SignedUrl, Unreachable
from transcripts.mavi.client import MAX_ANSWER_BYTES, MaviClient, _never_sent
from transcripts.settings import Secret

OK = b"HTTP/1.1 200 OK\r\n"


def answering_within(url: str, answer_timeout_s: float) -> MaviClient:
    """Return a client without a limit of the whole call, to test the limits of the answer."""
    mavi = MaviClient(url, Secret(KEY), per_second=10_000.0, answer_timeout_s=answer_timeout_s)
    mavi._call_within_s = 60.0
    return mavi


async def _long(writer: asyncio.StreamWriter) -> None:
    size = 64 * MAX_ANSWER_BYTES
    writer.write(OK + f"Content-Length: {size}\r\n\r\n".encode())
    for _ in range(size // 65_536):
        writer.write(b" " * 65_536)
        await writer.drain()


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def _closed(_writer: asyncio.StreamWriter) -> None:
    return


@pytest.mark.parametrize(
    ("answer", "answer_timeout_s", "reason"),
    [
        (_long, 30.0, "answer_too_long"),
        (_endless, 0.4, "answer_too_long"),
        (_silent, 0.3, "timeout"),
        (_closed, 30.0, "connection_failed"),
    ],
    ids=["too long", "never ends", "silent", "closed"],
)
async def test_submit_without_a_usable_answer_is_an_answer_lost(
    answer: Callable[[asyncio.StreamWriter], Any], answer_timeout_s: float, reason: str
) -> None:
    """The request was sent, so the job may have been bought; the reason is a stable code."""
    async with server(answer) as url:
        mavi = answering_within(url, answer_timeout_s)
        async with asyncio.timeout(20):
            assert await mavi.submit("re_1", PATIENT, nothing) == AnswerLost(reason)


async def test_submit_without_a_connection_in_time_was_never_sent() -> None:
    """A server that accepts no connection has not got the request: nothing was bought."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(address)
        mavi = client(f"http://127.0.0.1:{address[1]}").mavi
        mavi._timeout = (0.5, 30.0)
        try:
            assert await mavi.submit("re_1", PATIENT, nothing) == NotSent("timeout")
            assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()
        finally:
            for each in waiting:
                each.close()


async def test_submit_to_a_closed_port_was_never_sent() -> None:
    """The reason is a code, not the name of a class."""
    mavi = client(f"http://127.0.0.1:{free_port()}").mavi
    assert await mavi.submit("re_1", PATIENT, nothing) == NotSent("connection_failed")


@pytest.mark.parametrize(
    ("error", "never"),
    [
        (requests.exceptions.ConnectTimeout(), True),
        (requests.exceptions.InvalidURL(), True),
        (requests.exceptions.MissingSchema(), True),
        (requests.exceptions.InvalidHeader(), True),
        (requests.exceptions.ReadTimeout(), False),
        (requests.exceptions.ChunkedEncodingError(), False),
        (requests.exceptions.ConnectionError(), False),
        (requests.exceptions.SSLError(), False),
        (OSError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_never_sent_only_for_failures_before_the_request(error: Exception, *, never: bool) -> None:
    """Anything that can happen after the first byte may have bought the job."""
    assert _never_sent(error) is never


async def test_signed_url_in_clear_text_is_accepted_only_from_a_clear_text_api() -> None:
    """Only a fake Mavi on this machine is http; recordings are never sent in clear text."""
    for base, accepted in (("http://127.0.0.1:1", True), ("https://mavi.example", False)):
        mavi = MaviClient(base, Secret(KEY), per_second=10_000.0)

        def answer(*_: Any) -> Any:
            content = b'{"code": 200, "data": {"asset_id": "re_1", "signed_url": "http://x/"}}'
            return 200, content, None

        mavi._call = answer  # type: ignore[method-assign,assignment] # one test's own provider
        found = await mavi.signed_url("a.mp4", PATIENT)
        assert isinstance(found, SignedUrl) is accepted

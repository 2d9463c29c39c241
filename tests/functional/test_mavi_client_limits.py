"""The client's limits: time and size of an answer, threads, and the rate of each endpoint."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cli.fake_mavi.account import Limiter
from cli.fake_mavi.server import FakeMavi
from tests.functional.provider import (
    KEY,
    PATIENT,
    answer_with,
    client,
    nothing,
    ready,
    server,
)
from transcripts.mavi.answers import (
    Accepted,
    AnswerLost,
    AssetState,
    RateLimited,
    SignedUrl,
    Unreachable,
)
from transcripts.mavi.client import MaviClient
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.settings import Secret


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Send an endless answer byte by byte: each byte restarts the time-out of the socket."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Drip: x\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_call_with_a_dripping_answer_times_out() -> None:
    """The server never stops sending, so that only the client can end the call."""
    async with server(_drip) as url:
        mavi = MaviClient(url, Secret(KEY), per_second=10_000.0, answer_timeout_s=0.2)
        mavi._call_within_s = 0.5
        assert isinstance(await mavi.submit("re_1", PATIENT, nothing), AnswerLost)
        assert await mavi.asset_state("re_1", PATIENT) is None
        assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()


async def test_submit_records_the_intent_when_a_thread_is_free(fake: FakeMavi) -> None:
    """A waiting call is not on record."""
    mavi = client(fake.url).mavi
    mavi._calls.slots = asyncio.Semaphore(1)
    asset_id = ready(fake)
    order: list[str] = []

    async def buy(name: str) -> None:
        async def before_send() -> None:
            order.append(f"{name} intends")

        await mavi.submit(asset_id, PATIENT, before_send)
        order.append(f"{name} is answered")

    await asyncio.gather(buy("a"), buy("b"))
    assert order == ["a intends", "a is answered", "b intends", "b is answered"]


async def test_calls_of_each_endpoint_have_their_own_rate_limit(fake: FakeMavi) -> None:
    """A call to one endpoint does not delay a call to another."""
    fake.limiter = Limiter(100.0, time.monotonic)
    mavi = MaviClient(fake.url, Secret(KEY), per_second=100.0)
    begin = time.monotonic()
    assets = [ready(fake) for _ in range(10)]
    answers = await asyncio.gather(
        *(mavi.submit(asset, PATIENT, nothing) for asset in assets),
        *(mavi.asset_state(asset, PATIENT) for asset in assets),
    )
    assert time.monotonic() - begin >= 0.09
    assert all(isinstance(answer, Accepted) for answer in answers[:10])
    assert fake.limiter.violations == {}
    with pytest.raises(RateLimitTimeout):
        await asyncio.gather(*(mavi.submit(asset, 0.03, nothing) for asset in assets))


async def test_answer_over_the_size_limit_is_lost() -> None:
    """The limit of the size ends the call, long before the limit of the time."""
    sent_bytes = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent_bytes < 200_000_000:
            writer.write(b" " * 65536)
            await writer.drain()
            sent_bytes += 65536

    async with server(flood) as url:
        answer = await client(url, answer_timeout_s=50.0).submit("re_1")
    assert answer == AnswerLost("answer_too_long")
    assert sent_bytes < 20_000_000


async def test_answer_of_the_largest_size_is_read_whole() -> None:
    """One byte more is too long."""
    answers = []
    for extra in (0, 1):
        content = b'{"code": 200, "data": {"task_id": "abc"}}'.ljust(1024 * 1024 + extra)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        async with server(answer_with(head + content)) as url:
            answers.append(await client(url).submit("re_1"))
    assert answers == [Accepted("abc"), AnswerLost("answer_too_long")]


async def test_answer_over_the_time_limit_is_lost() -> None:
    """The limit ends the call in the reading thread: the server never stops sending."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with server(trickle) as url:
        answer = await client(url, answer_timeout_s=0.3).submit("re_1")
    assert answer == AnswerLost("answer_too_long")


async def test_asset_states_wait_for_a_thread(fake: FakeMavi) -> None:
    """The number of threads limits the calls that run at the same time."""
    mavi = client(fake.url).mavi
    mavi._calls.slots = asyncio.Semaphore(0)
    asset_id = ready(fake)
    asking = asyncio.ensure_future(mavi.asset_state(asset_id, PATIENT))
    making = asyncio.ensure_future(mavi.signed_url("a.mp4", PATIENT))
    await asyncio.sleep(0.1)
    assert fake.limiter.requests == {}
    mavi._calls.slots.release()
    assert await asking is AssetState.READY
    assert isinstance(await making, SignedUrl)


@pytest.mark.parametrize("form", ["seconds", "date", "nonsense", "huge", "endless"])
async def test_submit_after_a_retry_after_waits_for_every_caller(form: str) -> None:
    """In that time no request of the endpoint is sent; a caller that can't wait gets the time."""
    later = datetime.now(UTC) + timedelta(seconds=9999)
    asked = {
        "seconds": "9999",
        "date": format_datetime(later, usegmt=True),
        "nonsense": "soon",
        "huge": "9" * 30,
        "endless": "9" * 5000,
    }[form]
    requests = 0

    async def busy(writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        head = f"HTTP/1.1 429 Busy\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()

    async with server(busy) as url:
        mavi = client(url)
        answer = await mavi.submit("re_1")
        assert isinstance(answer, RateLimited)
        if form in ("nonsense", "endless"):
            assert answer == RateLimited(0.0) == await mavi.submit("re_2")
            return
        expected = 6 * 3600 if form == "huge" else 9999
        assert expected - 60 < answer.retry_after_s <= expected
        with pytest.raises(RateLimitTimeout) as caught:
            await mavi.submit("re_2")
        assert expected - 60 < caught.value.wait_s <= expected
    assert requests == 1

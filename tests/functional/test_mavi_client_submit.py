"""The client's submissions: answers, keys, redirects and lost answers."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from cli.fake_mavi.server import FakeMavi
from tests.functional.provider import (
    KEY,
    Webhook,
    answer_with,
    client,
    ready,
    server,
)
from tests.polling import eventually
from transcripts.callbacks.kinds import identify
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AnswerLost,
    AssetState,
    RateLimited,
    Refusal,
    Refused,
)


async def test_submit_accepted_is_called_back_once(fake: FakeMavi, webhook: Webhook) -> None:
    """The key is sent without ``Bearer``."""
    answer = await client(fake.url).submit(ready(fake))
    assert isinstance(answer, Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    assert identify(webhook.bodies[0]) == (answer.task_id, "multi_speaker")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Ambiguous()),
        (402, Refused(Refusal.NO_CREDIT, 402)),
        (403, Refused(Refusal.AUTH, 403)),
        (429, RateLimited()),
        (500, AnswerLost("http_500")),
    ],
)
async def test_submit_answer_is_classified(fake: FakeMavi, status: int, expected: Any) -> None:
    """Each answer that the fake can give has its own result."""
    fake.faults.answers = {"submit": [status]}
    assert await client(fake.url).submit(ready(fake)) == expected
    assert fake.account.jobs == []


async def test_submit_with_a_wrong_key_is_refused(fake: FakeMavi) -> None:
    """A key with ``Bearer`` is wrong, too."""
    for key in ("wrong", f"Bearer-{KEY}"):
        answer = await client(fake.url, key).submit(ready(fake))
        assert answer == Refused(Refusal.AUTH, 401)


async def test_submit_without_a_webhook_is_refused(fake: FakeMavi) -> None:
    """The client reads only this text of an error."""
    fake.webhook_url = None
    assert await client(fake.url).submit(ready(fake)) == Refused(Refusal.NO_WEBHOOK, 400)


@pytest.mark.parametrize("generation", [1, 2, 3])
async def test_submit_accepts_both_success_codes(
    fake: FakeMavi, webhook: Webhook, generation: int
) -> None:
    """Answers and callbacks may have either code."""
    fake.faults.generation = generation
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    code = msgspec.json.decode(webhook.bodies[0])["code"]
    assert code == {1: "0000", 2: "200", 3: 200}[generation]


async def test_submit_with_a_broken_connection_is_an_answer_lost(fake: FakeMavi) -> None:
    """The job was accepted."""
    fake.faults.lost_answer = 1
    assert isinstance(await client(fake.url).submit(ready(fake)), AnswerLost)
    assert len(fake.account.jobs) == 1


async def _silence(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def _hang_up(_: asyncio.StreamWriter) -> None:
    return


ACCEPTED = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{"code": 200, "data": {"task_id": "task7"}}'
)


async def _for_ever(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        _silence,
        _hang_up,
        _for_ever,
        answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        answer_with(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
        answer_with(b"nonsense\r\n\r\n"),
        answer_with(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ACCEPTED),
        answer_with(b"HTTP/1.1 499 Closed\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["silence", "hang up", "for ever", "cut off", "bad gzip", "no HTTP", "103", "499"],
)
async def test_submit_without_a_whole_answer_is_an_answer_lost(answer: Any) -> None:
    """The request was sent, so it may be billed."""
    async with server(answer) as url:
        assert isinstance(await client(url, answer_timeout_s=0.3).submit("re_1"), AnswerLost)


async def test_submit_redirected_is_not_followed() -> None:
    """The key is for one host, and a job is bought at one URL."""
    moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(answer_with(moved)) as url:
        assert await client(url).submit("re_1") == Refused(Refusal.ERROR, 307)


async def test_submit_with_a_netrc_sends_the_key(
    fake: FakeMavi, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests would send the user and password of the file instead."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)


async def test_asset_state_is_read_from_the_metadata(fake: FakeMavi) -> None:
    """Every upload status has its state, and so has a missing asset."""
    mavi = client(fake.url)
    fake.faults.upload_delay_s = 3600
    asset = fake.account.add_asset("a.mp4", complete=False)
    assert await mavi.asset_state(asset.asset_id) is AssetState.WAITING
    fake.account.complete(asset, 3, "abc")
    assert await mavi.asset_state(asset.asset_id) is AssetState.UPLOADING
    fake.faults.upload_delay_s = 0
    assert await mavi.asset_state(asset.asset_id) is AssetState.READY
    assert await mavi.asset_state("re_none") is AssetState.MISSING
    fake.faults.answers = {"metadata": [429, 500]}
    assert await mavi.asset_state("re_none") is None
    assert await mavi.asset_state("re_none") is None
    assert await client("http://127.0.0.1:1").asset_state("re_1") is None

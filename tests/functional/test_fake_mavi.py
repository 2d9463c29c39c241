"""The fake provider: as faithful as its documentation allows."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from cli.fake_mavi.faults import Faults
from cli.fake_mavi.server import SUBMIT_PATH, FakeMavi
from tests.builders import callback_body, shape_names
from tests.functional.provider import (
    KEY,
    Webhook,
    api,
    client,
    ready,
)
from tests.polling import eventually
from transcripts.callbacks.kinds import identify
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AssetState,
    RateLimited,
)


async def test_rate_limit_counts_each_endpoint() -> None:
    """Requests above the limit get 429 or the ambiguous 400, and are counted."""
    now = [100.0]
    fake = FakeMavi(KEY, webhook_url="http://127.0.0.1:1", clock=lambda: now[0])
    await fake.start()
    mavi = client(fake.url)
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    assert await mavi.submit(ready(fake)) == RateLimited()
    assert await mavi.asset_state(ready(fake)) is AssetState.READY
    fake.faults.rate_limit_status = 400
    assert await mavi.submit(ready(fake)) == Ambiguous()
    now[0] += 1.0
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    assert fake.limiter.violations == {"submit": 2}
    await fake.stop()


async def test_upload_by_signed_url_has_its_asset_first(fake: FakeMavi) -> None:
    """The second step needs no key."""
    async with api(fake) as session:
        form = aiohttp.FormData()
        form.add_field("file", b"x" * 100_000, filename="talk.mp4")
        async with session.post(f"{fake.url}/upload", data=form) as response:
            asset_id = (await response.json())["data"]["asset_id"]
        async with session.get(f"{fake.url}/{asset_id}/metadata") as response:
            (resource,) = (await response.json())["data"]["resource"]
        assert (resource["file_size"], resource["upload_status"]) == ("100000", "SUCCESS")
        assert (resource["original_filename"], resource["extension"]) == ("talk", "mp4")
        async with session.post(
            f"{fake.url}/upload/signed-url", json={"original_filename": "b.mp3"}
        ) as response:
            signed = (await response.json())["data"]
        async with session.get(f"{fake.url}/{signed['asset_id']}/metadata") as response:
            (resource,) = (await response.json())["data"]["resource"]
        assert resource["upload_status"] == "WAITING"
        form = aiohttp.FormData()
        form.add_field("file", b"y" * 10, filename="b.mp3")
        async with aiohttp.ClientSession() as nobody:
            async with nobody.put(signed["signed_url"], data=b"y") as response:
                assert response.status == 403
            async with nobody.post(signed["signed_url"], data=form) as response:
                assert response.status == 200
        assert fake.account.assets[signed["asset_id"]].size == 10


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"{}", b'{"asset_id": "", "n": 1}'])
async def test_request_that_names_nothing_returns_400(fake: FakeMavi, body: bytes) -> None:
    """Whatever its body is; nothing is bought and no asset is made."""
    async with api(fake) as session:
        for path in (SUBMIT_PATH, "/upload/signed-url"):
            async with session.post(f"{fake.url}{path}", data=body) as response:
                assert (response.status, (await response.json())["code"]) == (400, 400)
    assert (fake.account.assets, fake.account.jobs) == ({}, [])


async def test_delete_twice_returns_an_error(fake: FakeMavi) -> None:
    """Mavi's deletion is not idempotent."""
    asset_id = ready(fake)
    async with api(fake) as session:
        for status in (200, 400):
            async with session.delete(f"{fake.url}/{asset_id}") as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("faults", "posted"),
    [
        ({"drop": 1}, 0),
        ({"duplicate": 1}, 2),
        ({"failed": 1}, 1),
        ({"malformed": 1}, 1),
        ({"giant": 1, "giant_bytes": 2_000_000}, 1),
    ],
)
async def test_callback_fault_applies_once(
    fake: FakeMavi, webhook: Webhook, faults: dict[str, int], posted: int
) -> None:
    """The next callback is normal."""
    for name, value in faults.items():
        setattr(fake.faults, name, value)
    mavi = client(fake.url)
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    await eventually(lambda: not fake._posting)
    assert len(webhook.bodies) == posted
    if "giant" in faults:
        assert 1_500_000 < len(webhook.bodies[0]) < 2_500_000
        (result,) = map(json.loads, webhook.bodies)
        starts = [line["start_time"] for line in result["data"]["data"]["audio_transcription"]]
        assert starts == sorted(set(starts))
    last = await mavi.submit(ready(fake))
    assert isinstance(last, Accepted)
    await eventually(lambda: len(webhook.bodies) == posted + 1)
    assert identify(webhook.bodies[-1]) == (last.task_id, "multi_speaker")


@pytest.mark.parametrize(
    ("recorded", "task_id"),
    [(callback_body(task_id="mine"), "mine"), (b'{"task_id": "a/b"}', None), (b"cut off", None)],
)
async def test_recorded_callback_is_posted_as_it_is(
    webhook: Webhook, recorded: bytes, task_id: str | None
) -> None:
    """Its task is the one that was bought, unless no task can have its id."""
    faults = Faults(callback_delay_s=0.01)
    fake = FakeMavi(KEY, webhook_url=webhook.url, faults=faults, per_second=0, recorded=recorded)
    await fake.start()
    answer = await client(fake.url).submit(ready(fake))
    await eventually(lambda: webhook.bodies == [recorded])
    await fake.stop()
    assert isinstance(answer, Accepted)
    assert answer.task_id
    assert (answer.task_id == task_id) is (task_id is not None)


async def test_callback_reordered_comes_after_the_next(fake: FakeMavi, webhook: Webhook) -> None:
    """The first callback waits for the second."""
    fake.faults.reorder = 1
    mavi = client(fake.url)
    first = await mavi.submit(ready(fake))
    second = await mavi.submit(ready(fake))
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    await eventually(lambda: len(webhook.bodies) == 2)
    assert [identify(body)[0] for body in webhook.bodies] == [second.task_id, first.task_id]


async def test_callback_early_comes_before_the_answer(fake: FakeMavi, webhook: Webhook) -> None:
    """The callback is posted before the submit is answered."""
    fake.faults.early = 1
    answer = await client(fake.url).submit(ready(fake))
    assert isinstance(answer, Accepted)
    assert [identify(body)[0] for body in webhook.bodies] == [answer.task_id]


async def test_callback_foreign_has_the_shape_of_each_endpoint(
    fake: FakeMavi, webhook: Webhook
) -> None:
    """The shapes of the endpoints rotate."""
    others = [name for name in shape_names() if name != "multi_speaker"]
    fake.faults.foreign = len(others)
    mavi = client(fake.url)
    for _ in others:
        await mavi.submit(ready(fake))
    await eventually(lambda: len(webhook.bodies) == len(others))
    assert sorted(identify(body)[1] for body in webhook.bodies) == others


async def test_callback_refused_is_not_repeated(fake: FakeMavi, webhook: Webhook) -> None:
    """The provider documents no retry."""
    webhook.status = 503
    await client(fake.url).submit(ready(fake))
    await eventually(lambda: not fake._posting)
    assert len(webhook.bodies) == 1
    assert fake.deliveries[0]["status"] == 503


async def test_faults_set_while_running_apply(fake: FakeMavi) -> None:
    """A misspelled fault is refused."""
    async with aiohttp.ClientSession() as session:
        url = f"{fake.admin_url}/faults"
        async with session.patch(url, json={"drop": 2}) as response:
            assert (await response.json())["faults"]["drop"] == 2
        async with session.patch(url, json={"dorp": 2}) as response:
            assert response.status == 400
        async with session.put(f"{fake.admin_url}/webhook", json={"url": "http://x"}) as response:
            assert (await response.json())["webhook_url"] == "http://x"
        async with session.post(f"{fake.admin_url}/assets", json={}) as response:
            asset_id = (await response.json())["data"]["asset_id"]
        async with session.get(fake.admin_url) as response:
            assert (await response.json())["assets"][0]["asset_id"] == asset_id
    assert fake.faults.drop == 2


def test_fake_on_its_second_day_goes_on_where_it_was(tmp_path: Path) -> None:
    """An asset id that comes again would be a duplicate in the ledger."""
    journal = tmp_path / "data" / "mavi.jsonl"
    first = FakeMavi("key", journal=journal)
    kept, deleted = (first.add_asset(f"{number}.mp4").asset_id for number in range(2))
    first.account.delete(deleted)
    second = FakeMavi("key", journal=journal)
    assert list(second.account.assets) == [kept]
    assert second.add_asset("c.mp4").asset_id not in (kept, deleted)
    assert second.account.upload_status(second.account.assets[kept]) == "SUCCESS"

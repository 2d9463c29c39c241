"""The client's deletion of an asset: done once or twice, refused, and without an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cli.fake_mavi.server import FakeMavi
from cli.local.processes import free_port
from tests.environments import environment
from tests.functional.provider import KEY, PATIENT, client, ready, server
from transcripts.backends import open_assets
from transcripts.mavi.answers import DeleteAnswer
from transcripts.mavi.client import MaviClient
from transcripts.settings import ResultsSettings


async def test_delete_of_an_asset_is_gone_the_second_time_too(fake: FakeMavi) -> None:
    """Mavi answers an error then, and the metadata tell that there is no such asset."""
    asset_id = ready(fake)
    mavi = client(fake.url).mavi
    for _ in range(2):
        assert await mavi.delete(asset_id, PATIENT) is DeleteAnswer.GONE
        assert asset_id not in fake.account.assets


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, DeleteAnswer.UNAVAILABLE),
        (401, DeleteAnswer.REFUSED),
        (403, DeleteAnswer.REFUSED),
        (429, DeleteAnswer.UNAVAILABLE),
        (500, DeleteAnswer.UNAVAILABLE),
    ],
)
async def test_delete_refused_leaves_the_asset(
    fake: FakeMavi, status: int, expected: DeleteAnswer
) -> None:
    """A 400 may be rate limiting: while the metadata show the asset, it is not gone."""
    asset_id = ready(fake)
    fake.faults.answers["delete"] = [status]
    assert await client(fake.url).mavi.delete(asset_id, PATIENT) is expected
    assert asset_id in fake.account.assets


async def test_delete_and_metadata_refused_once_leave_the_asset(fake: FakeMavi) -> None:
    """Rate limiting answers 400 to both, so one missing answer does not prove a deletion."""
    asset_id = ready(fake)
    fake.faults.answers["delete"] = [400]
    fake.faults.answers["metadata"] = [400]
    assert await client(fake.url).mavi.delete(asset_id, PATIENT) is DeleteAnswer.UNAVAILABLE
    assert asset_id in fake.account.assets


async def test_delete_at_a_closed_port_is_unavailable() -> None:
    """The client raises nothing."""
    mavi = client(f"http://127.0.0.1:{free_port()}").mavi
    assert await mavi.delete("re_1", PATIENT) is DeleteAnswer.UNAVAILABLE


async def test_delete_without_an_answer_times_out() -> None:
    """It may be deleted or not; the next request tells."""

    async def silence(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with server(silence) as url:
        mavi = client(url, answer_timeout_s=0.2).mavi
        assert await mavi.delete("re_1", PATIENT) is DeleteAnswer.UNAVAILABLE


async def test_concurrent_deletions_make_one_client(
    fake: FakeMavi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client keeps the rate limit, so a second client would exceed it."""
    made: list[MaviClient] = []

    def make(*arguments: Any) -> MaviClient:
        made.append(MaviClient(*arguments))
        return made[-1]

    monkeypatch.setattr("transcripts.mavi.client.MaviClient", make)
    variables = {
        "MAVI_API_KEY": KEY,
        "MAVI_BASE_URL": fake.url,
        "MAVI_REQUESTS_PER_SECOND": "10000",
    }
    deleter = open_assets(ResultsSettings.load(environment("results", **variables)))
    assert deleter is not None
    assets = [ready(fake) for _ in range(3)]
    answers = await asyncio.gather(*(deleter.delete(asset, PATIENT) for asset in assets))
    assert answers == [DeleteAnswer.GONE] * 3
    assert not set(assets) & set(fake.account.assets)
    assert await deleter.delete(assets[0], PATIENT) is DeleteAnswer.GONE
    assert len(made) == 1

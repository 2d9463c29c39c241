"""Whose an asset is: of all who want it, one buys it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pipeline import Pipeline
from transcripts.mavi.answers import (
    Sent,
    SignedUrl,
)
from transcripts.ports import Write
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.service import RunResult
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
)


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_an_object_that_stands_for_an_asset_is_not_uploaded(pipeline: Pipeline) -> None:
    """And shares the asset's purchase with whoever submits it by its id."""
    stored = pipeline.objects.put("x.txt", b"", metadata={"mavi-asset-id": "re_9"})
    await pipeline.intake.enqueue_upload(stored)
    submission_id = submission_id_of_asset("re_9")
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert (pipeline.provider.held, pipeline.provider.submitted) == ({}, ["re_9"])
    receipt = await pipeline.service.submit(SubmitAsset("re_9", {}))
    assert (receipt.duplicate, receipt.task_id) == (True, "task-1")


async def test_an_uploaded_asset_is_not_bought_again_by_its_id(pipeline: Pipeline) -> None:
    """Whoever submits the asset of an object is led to the object's purchase."""
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    receipt = await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1", "re_2"), {}))
    assert taken.duplicates == [submission_id]
    assert taken.queued == [submission_id_of_asset("re_2")]
    assert pipeline.provider.submitted == ["re_1"]


async def test_a_signed_address_belongs_to_the_submission_before_its_bytes(
    pipeline: Pipeline,
) -> None:
    """So that nobody buys the asset by its id in between."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_77", "https://signed/re_77")]
    owners: list[str] = []
    send = pipeline.provider.send

    async def looking(url: str, file: Any) -> Sent:
        owners.append(await pipeline.store.submission_id_of("re_77"))
        return await send(url, file)

    pipeline.provider.send = looking  # type: ignore[method-assign] # one test's own provider
    await pipeline.service.run(submission_id)
    assert owners == [submission_id]


async def test_an_asset_that_mavi_gave_before_is_not_bought_again(pipeline: Pipeline) -> None:
    """Two objects of the same content: if Mavi knows it again, the second is a duplicate."""
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    signed = SignedUrl("re_1", "https://signed/re_1")
    pipeline.provider.signed = [signed, signed]
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    assert await pipeline.service.run(two) == RunResult(
        two, State.REJECTED, reason="duplicate_asset"
    )
    assert pipeline.provider.submitted == ["re_1"]
    (event,) = [each for each in pipeline.lines.named("rejected") if each["submission_id"] == two]
    assert event["other"] == one


async def test_an_asset_that_was_ordered_by_its_id_is_not_bought_again(pipeline: Pipeline) -> None:
    """Nor where the order was there first."""
    await pipeline.service.submit(SubmitAsset("re_1", {}))
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="duplicate_asset")
    assert pipeline.provider.submitted == ["re_1"]


async def test_of_two_who_want_the_same_asset_one_buys_it(pipeline: Pipeline) -> None:
    """Somebody orders it by its id in the moment in which an upload is given that id."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    commit = pipeline.documents.commit
    ordered: list[Any] = []

    async def between(*writes: Write) -> None:
        if not ordered and any(write.path == "assets/re_1" for write in writes):
            ordered.append(None)
            ordered.append(await pipeline.instance().submit(SubmitAsset("re_1", {})))
        await commit(*writes)

    pipeline.documents.commit = between  # type: ignore[method-assign] # one test's own store
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="duplicate_asset")
    assert ordered[1].submission_id == submission_id_of_asset("re_1")
    assert pipeline.provider.submitted == ["re_1"]


async def test_an_order_for_what_is_brought_meanwhile_is_led_there(pipeline: Pipeline) -> None:
    """The other way round: the order is on record, and the asset has become the object's."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    buy = pipeline.service._submitter.submit
    first = True

    async def after_the_upload(lease: Lease, *arguments: Any) -> Any:
        nonlocal first
        if first:
            first = False
            await pipeline.instance().run(submission_id)
        return await buy(lease, *arguments)

    pipeline.service._submitter.submit = after_the_upload  # type: ignore[method-assign,assignment]
    receipt = await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    assert pipeline.provider.submitted == ["re_1"]
    given_up = await pipeline.entry(submission_id_of_asset("re_1"))
    assert (given_up.state, given_up.reason) == (State.REJECTED, "duplicate_asset")

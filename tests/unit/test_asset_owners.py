"""The owner of an asset: of several submissions for one asset, one buys it."""

from __future__ import annotations

from typing import Any

from tests.fakes import nothing
from tests.pipeline import Pipeline
from transcripts.mavi.answers import (
    SignedUrl,
)
from transcripts.ports import Delete, Write
from transcripts.submissions.answers import RunResult
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
)


async def test_object_naming_an_asset_is_not_uploaded(pipeline: Pipeline) -> None:
    """An object that names an asset shares the purchase of that asset."""
    stored = pipeline.objects.put("x.txt", b"", metadata={"mavi-asset-id": "re_9"})
    await pipeline.intake.enqueue_upload(stored)
    submission_id = submission_id_of_asset("re_9")
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert (pipeline.provider.held, pipeline.provider.submitted) == ({}, ["re_9"])
    receipt = await pipeline.service.submit(SubmitAsset("re_9", {}))
    assert (receipt.duplicate, receipt.task_id) == (True, "task-1")


async def test_submit_id_of_an_uploaded_asset_returns_its_purchase(pipeline: Pipeline) -> None:
    """The object's submission owns the asset, so submitting its id returns that submission."""
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    receipt = await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1", "re_2"), {}))
    assert taken.duplicates == [submission_id]
    assert taken.queued == [submission_id_of_asset("re_2")]
    assert pipeline.provider.submitted == ["re_1"]


async def test_upload_owns_its_asset_before_the_first_byte(
    pipeline: Pipeline,
) -> None:
    """No request can buy the asset by its id while the upload runs."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_77", "https://signed/re_77")]
    owners: list[str] = []

    async def read_owner(url: str, file: Any) -> None:
        owners.append(await pipeline.ledger.submission_id_of("re_77"))

    pipeline.provider.on_send = read_owner
    await pipeline.service.run(submission_id)
    assert owners == [submission_id]


async def test_upload_with_a_known_asset_id_is_a_duplicate(pipeline: Pipeline) -> None:
    """Mavi may return one asset for two objects with the same content."""
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


async def test_upload_with_a_submitted_asset_id_is_a_duplicate(pipeline: Pipeline) -> None:
    """The submission by asset id came first."""
    await pipeline.service.submit(SubmitAsset("re_1", {}))
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="duplicate_asset")
    assert pipeline.provider.submitted == ["re_1"]


async def test_submit_and_upload_racing_for_an_asset_buy_once(pipeline: Pipeline) -> None:
    """The asset id is submitted while an upload gets it."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    ordered: list[Any] = []

    async def submit_by_id(*writes: Write | Delete) -> None:
        if not ordered and any(write.path == "assets/re_1" for write in writes):
            ordered.append(None)
            ordered.append(await pipeline.instance().submit(SubmitAsset("re_1", {})))

    pipeline.documents.before_commit = submit_by_id
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="duplicate_asset")
    assert ordered[1].submission_id == submission_id_of_asset("re_1")
    assert pipeline.provider.submitted == ["re_1"]


async def test_submit_id_that_an_upload_got_meanwhile_returns_its_purchase(
    pipeline: Pipeline,
) -> None:
    """The object's submission has become the owner of the asset."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]

    async def upload(asset_id: str) -> None:
        pipeline.provider.on_slot = nothing
        await pipeline.instance().run(submission_id)

    pipeline.provider.on_slot = upload
    receipt = await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    assert pipeline.provider.submitted == ["re_1"]
    given_up = await pipeline.entry(submission_id_of_asset("re_1"))
    assert (given_up.state, given_up.reason) == (State.REJECTED, "duplicate_asset")


async def test_asset_of_a_submission_that_has_expired_may_be_bought(pipeline: Pipeline) -> None:
    """Firestore may delete an expired submission before the document that names its asset."""
    await pipeline.service.run(await pipeline.drop())
    (expired,) = pipeline.documents.paths("submissions/")
    del pipeline.documents.content[expired]
    other = await pipeline.drop("other.mp4")
    pipeline.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    assert (await pipeline.service.run(other)).state is State.SUBMITTED
    assert await pipeline.ledger.submission_id_of("re_1") == other

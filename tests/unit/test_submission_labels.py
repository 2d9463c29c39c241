"""Labels that come after the first request are added; none of a key is replaced."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.pipeline import ASSET, ID, Pipeline
from transcripts.changes.deletion import Deletion
from transcripts.errors import SubmissionError
from transcripts.ids import MAX_LABELS
from transcripts.mavi.answers import Refusal, Refused
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject

FIRST = SubmitAsset(ASSET, {"case": "7"})
SECOND = SubmitAsset(ASSET, {"case": "8", "court": "x"})
TOGETHER = {"case": "7", "court": "x"}


async def test_submit_again_adds_its_labels_and_answers_all(pipeline: Pipeline) -> None:
    """The submission and its task have them; the first value of a key stays."""
    assert (await pipeline.service.submit(FIRST)).labels == {"case": "7"}
    receipt = await pipeline.service.submit(SECOND)
    assert (receipt.duplicate, receipt.labels) == (True, TOGETHER)
    assert (await pipeline.entry(ID)).labels == TOGETHER
    task = await pipeline.task()
    assert (task.labels, task.label_pairs) == (TOGETHER, ["case:7", "court:x"])
    commits = len(pipeline.documents.commits)
    assert (await pipeline.service.submit(SECOND)).labels == TOGETHER
    assert len(pipeline.documents.commits) == commits


async def test_list_that_names_a_bought_asset_adds_its_labels(pipeline: Pipeline) -> None:
    """The answer says which labels each submission has now."""
    await pipeline.service.submit(FIRST)
    result = await pipeline.intake.enqueue_assets(SubmitAssets((ASSET, "re_2"), {"court": "x"}))
    assert result.duplicates == [ID]
    other = result.queued[0]
    assert result.labels == {ID: TOGETHER, other: {"court": "x"}}


async def test_request_for_an_object_after_its_event_adds_labels(pipeline: Pipeline) -> None:
    """The event came first, and carries only what the object's metadata say."""
    submission_id = await pipeline.drop(metadata={"mavi-label-case": "7"})
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    request = SubmitObject("uploads", "a/talk.mp4", "1", {"case": "8", "court": "x"})
    result = await pipeline.intake.enqueue_object(request, replace(stored, metadata={}))
    assert result.labels == {submission_id: TOGETHER}
    await pipeline.service.run(submission_id)
    assert (await pipeline.task()).labels == TOGETHER


async def test_labels_added_during_the_call_are_in_the_task(pipeline: Pipeline) -> None:
    """Another request names them while the holder waits for Mavi."""

    async def meanwhile(_: str) -> None:
        await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {"court": "x"}))

    pipeline.provider.on_submit = meanwhile
    assert (await pipeline.service.submit(FIRST)).labels == TOGETHER
    assert (await pipeline.task()).label_pairs == ["case:7", "court:x"]


async def test_submit_during_another_adds_labels_although_it_is_refused(
    pipeline: Pipeline,
) -> None:
    """The caller gets 409 and need not send the labels again."""
    other = pipeline.instance()

    async def meanwhile(_: str) -> None:
        with pytest.raises(SubmissionError):
            await other.submit(SECOND)

    pipeline.provider.on_submit = meanwhile
    await pipeline.service.submit(FIRST)
    assert (await pipeline.task()).labels == TOGETHER


async def test_requests_that_share_an_answer_keep_the_labels_of_each(pipeline: Pipeline) -> None:
    """They came together, with different labels."""
    one, two = await asyncio.gather(pipeline.service.submit(FIRST), pipeline.service.submit(SECOND))
    assert (one.duplicate, two.duplicate) == (False, True)
    assert two.labels == TOGETHER
    assert (await pipeline.task()).labels == TOGETHER
    assert pipeline.provider.submitted == [ASSET]


async def test_labels_of_a_rejected_request_stay(pipeline: Pipeline) -> None:
    """The repetition has those of both."""
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused(FIRST)
    assert (await pipeline.service.submit(SECOND)).labels == TOGETHER


async def test_labels_are_added_up_to_their_limit(pipeline: Pipeline) -> None:
    """Those that are there stay."""
    full = {f"k{n:02d}": "v" for n in range(MAX_LABELS)}
    await pipeline.service.submit(SubmitAsset(ASSET, full))
    assert (await pipeline.service.submit(FIRST)).labels == full


async def test_deleted_submission_gets_no_labels(pipeline: Pipeline) -> None:
    """They are personal."""
    await pipeline.service.submit(FIRST)
    deletion = Deletion(pipeline.documents, Retrier(), pipeline.lines.log, pipeline.clock)
    await deletion.delete_submission(ID)
    assert (await pipeline.refused(SECOND)).code == "transcript_deleted"
    assert (await pipeline.entry(ID)).labels == {}

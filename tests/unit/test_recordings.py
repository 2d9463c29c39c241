"""One recording is one purchase, under whichever generation its bytes lie in the bucket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import nothing
from tests.pipeline import CONTENT, Pipeline
from transcripts.errors import ObjectNotFound, RetryLater
from transcripts.ports import Read
from transcripts.settings import ObjectLimits
from transcripts.submissions.claims import DUPLICATE_RECORDING
from transcripts.submissions.requests import SubmitObject
from transcripts.submissions.submission import RecordingOwner, State, recording_owner_path
from transcripts.uploads.stored_object import StoredObject, recording_id

CRC = "AAAAAA=="
OTHER_CRC = "BBBBBA=="


async def drop(pipeline: Pipeline, generation: str, name: str = "a/talk.mp4", **more: Any) -> str:
    return await pipeline.drop(name, generation=generation, **{"crc32c": CRC, **more})


async def test_new_generation_with_the_same_bytes_is_not_bought_again(pipeline: Pipeline) -> None:
    """It was restored, rewritten, encrypted anew, or its bucket was moved."""
    first = await drop(pipeline, "1")
    assert (await pipeline.service.run(first)).state is State.SUBMITTED
    for _ in range(2):
        second = await drop(pipeline, "2")
    entry = await pipeline.entry(second)
    assert (entry.state, entry.reason) == (State.REJECTED, DUPLICATE_RECORDING)
    assert entry.duplicate_of == first
    assert list(pipeline.queue.tasks.values()) == [first]
    assert pipeline.provider.submitted == ["re_1"]


async def test_new_generation_with_other_bytes_is_bought(pipeline: Pipeline) -> None:
    """The file was replaced."""
    ids = [await drop(pipeline, "1")]
    await pipeline.service.run(ids[0])
    ids.append(await drop(pipeline, "2", crc32c=OTHER_CRC))
    ids.append(await drop(pipeline, "3", content=CONTENT + b"!"))
    assert list(pipeline.queue.tasks.values()) == ids


async def test_other_name_with_the_same_bytes_is_bought_unless_it_is_matched() -> None:
    """By default two names are two recordings."""
    for match_content, count in ((False, 2), (True, 1)):
        pipeline = Pipeline(limits=ObjectLimits(match_content=match_content))
        for generation, name in (("1", "a.mp4"), ("2", "b.mp4")):
            await drop(pipeline, generation, name, md5="bWQ1")
        assert len(pipeline.queue.tasks) == count


async def test_name_made_from_the_content_counts_without_the_file_name(pipeline: Pipeline) -> None:
    """``transcripts submit`` of a renamed file uploads it under another name."""
    first = await drop(pipeline, "1", "0123456789abcdef/talk.mp4")
    second = await drop(pipeline, "2", "0123456789abcdef/Talk of Monday.mp4")
    assert (await pipeline.entry(second)).duplicate_of == first
    await drop(pipeline, "3", "fedcba9876543210/talk.mp4")
    assert len(pipeline.queue.tasks) == 2


async def test_new_generation_of_a_rejected_recording_is_bought(pipeline: Pipeline) -> None:
    """Nothing was bought before: uploading again is how a user repeats it."""
    first = await drop(pipeline, "1")
    pipeline.objects.content.clear()
    assert (await pipeline.service.run(first)).reason == "object_not_found"
    second = await drop(pipeline, "2")
    assert (await pipeline.service.run(second)).state is State.SUBMITTED
    third = await drop(pipeline, "3")
    assert (await pipeline.entry(third)).duplicate_of == second


async def test_request_for_a_rejected_generation_names_the_one_that_was_bought(
    pipeline: Pipeline,
) -> None:
    """Between the rejection and the request, a later generation was bought."""
    first = await drop(pipeline, "1")
    earlier = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    pipeline.objects.content.clear()
    await pipeline.service.run(first)
    second = await drop(pipeline, "2")
    await pipeline.service.run(second)
    request = SubmitObject("uploads", "a/talk.mp4", "1", {})
    result = await pipeline.intake.enqueue_object(request, earlier)
    assert (result.queued, result.duplicates) == ([], [second])


async def test_other_name_without_an_md5_is_another_recording() -> None:
    """Composite objects have none, and a crc32c alone may be that of another file."""
    pipeline = Pipeline(limits=ObjectLimits(match_content=True))
    await drop(pipeline, "1", "a.mp4")
    await drop(pipeline, "2", "b.mp4")
    assert len(pipeline.queue.tasks) == 2


async def test_waiting_recording_is_read_from_its_latest_generation(pipeline: Pipeline) -> None:
    """The earlier generation is gone; the events come in any order."""
    first = await drop(pipeline, "1")
    await drop(pipeline, "3")
    await pipeline.intake.enqueue_upload(
        StoredObject(bucket="uploads", name="a/talk.mp4", generation="2", size=24, crc32c=CRC)
    )
    result = await pipeline.service.run(first)
    assert (result.state, pipeline.provider.submitted) == (State.SUBMITTED, ["re_1"])
    source = (await pipeline.entry(first)).source
    assert source is not None
    assert source.generation == "3"


async def test_generation_that_is_replaced_during_the_upload_is_read_again(
    pipeline: Pipeline,
) -> None:
    """The run is repeated and finds the later generation."""
    first = await drop(pipeline, "1")

    async def replaced(_url: str, _file: Any) -> None:
        pipeline.provider.on_send = nothing
        await drop(pipeline, "2")
        raise ObjectNotFound("The generation is gone.")

    pipeline.provider.on_send = replaced
    with pytest.raises(RetryLater):
        await pipeline.service.run(first)
    pipeline.provider.states = []
    pipeline.clock.advance(hours=2)
    assert (await pipeline.service.run(first)).state is State.SUBMITTED
    assert len(pipeline.provider.submitted) == 1


async def test_events_of_two_generations_at_once_buy_once(pipeline: Pipeline) -> None:
    """Of two commits one meets a conflict, and decides again."""
    stored = [
        pipeline.objects.put("a/talk.mp4", CONTENT, generation=generation, crc32c=CRC)
        for generation in ("1", "2")
    ]
    await asyncio.gather(*map(pipeline.intake.enqueue_upload, stored))
    assert len(pipeline.queue.tasks) == 1


async def test_request_for_a_new_generation_names_the_purchase(pipeline: Pipeline) -> None:
    """A forced request repeats that purchase, and reads the generation that is there."""
    first = await drop(pipeline, "1")
    await pipeline.service.run(first)
    stored = pipeline.objects.put("a/talk.mp4", CONTENT, generation="2", crc32c=CRC)
    request = SubmitObject("uploads", "a/talk.mp4", "2", {})
    assert (await pipeline.intake.enqueue_object(request, stored)).duplicates == [first]
    forced = SubmitObject("uploads", "a/talk.mp4", "2", {}, force=True)
    assert (await pipeline.intake.enqueue_object(forced, stored)).queued == [first]
    assert (await pipeline.service.run(first)).task_id == "task-2"


async def test_owner_of_a_recording_is_kept_as_long_as_its_submission() -> None:
    """Both expire together."""
    pipeline = Pipeline(retention_days=3)
    first = await drop(pipeline, "1")
    await pipeline.service.run(first)
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    path = recording_owner_path(recording_id(stored, any_name=False) or "")
    (owner,) = await pipeline.documents.read(Read(path, RecordingOwner))
    assert owner is not None
    assert owner.value == RecordingOwner(first, (await pipeline.entry(first)).expires_at)


def test_recording_id_needs_a_checksum_and_bytes() -> None:
    """Without one, two generations can't be compared."""
    stored = StoredObject(bucket="uploads", name="a.mp4", generation="1", size=5)
    assert recording_id(stored, any_name=False) is None
    empty = StoredObject(bucket="uploads", name="a.mp4", generation="1", crc32c=CRC)
    assert recording_id(empty, any_name=False) is None

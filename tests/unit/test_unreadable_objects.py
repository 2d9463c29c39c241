"""Objects that cannot be read are rejected or retried, and no asset is made for them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.pipeline import CONTENT, Pipeline
from transcripts.errors import (
    ObjectCorrupted,
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    RetryLater,
    TranscriptsError,
)
from transcripts.mavi.answers import AssetState, RateLimited, Sent
from transcripts.submissions.answers import RunResult
from transcripts.submissions.requests import SubmitObject
from transcripts.submissions.submission import State
from transcripts.submissions.uploader import FIRST_BYTES, FORBIDDEN_FOR, MAX_UPLOADS


class Reader(io.BytesIO):
    """A reader that fails after ``fails_at`` bytes, and records whether it was closed."""

    def __init__(self, content: bytes, fails_at: int | None, error: TranscriptsError) -> None:
        super().__init__(content)
        self.fails_at = fails_at
        self.error = error
        self.largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        self.largest = max(self.largest, size)
        if self.fails_at is not None and self.tell() >= self.fails_at:
            raise self.error
        end = len(self.getvalue()) if self.fails_at is None else self.fails_at
        return super().read(min(size, end - self.tell()))


class Bucket(Pipeline):
    """A pipeline whose objects fail at ``stat``, at ``open`` or after some bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.error: TranscriptsError | None = None
        self.at: str | int = "stat"
        self.readers: list[Reader] = []
        self.objects.before = self._fail
        self.objects.reader = self._reader

    def _fail(self, operation: str) -> None:
        if self.error is not None and self.at == operation:
            raise self.error

    def _reader(self, content: bytes) -> Reader:
        fails_at = self.at if self.error is not None and isinstance(self.at, int) else None
        self.readers.append(Reader(content, fails_at, self.error or ObjectUnavailable("never")))
        return self.readers[-1]

    @property
    def assets(self) -> list[str]:
        return list(self.provider.held)

    async def retry_later(self, submission_id: str) -> RetryLater:
        with pytest.raises(RetryLater) as caught:
            await self.service.run(submission_id)
        return caught.value


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


ERRORS: list[Callable[[], TranscriptsError]] = [
    lambda: ObjectUnreadable("requester_pays", "no"),
    lambda: ObjectForbidden("no"),
    lambda: ObjectUnavailable("no"),
    lambda: ObjectNotFound("no"),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("at", ["stat", "open", 0])
async def test_run_object_that_cannot_be_read_makes_no_asset(
    bucket: Bucket, error: Callable[[], TranscriptsError], at: str | int
) -> None:
    """Its first byte is read before the request for an asset, however often the run repeats."""
    submission_id = await bucket.drop()
    bucket.error, bucket.at = error(), at
    for _ in range(2 * MAX_UPLOADS):
        try:
            await bucket.service.run(submission_id)
        except RetryLater:
            bucket.clock.advance(minutes=10)
    assert bucket.assets == []
    entry = await bucket.entry(submission_id)
    assert (entry.uploads, entry.asset_id) == (0, None)
    assert all(reader.closed for reader in bucket.readers)


@pytest.mark.parametrize("at", ["stat", "open", 0])
async def test_run_unreadable_object_is_rejected_with_its_reason(
    bucket: Bucket, at: str | int
) -> None:
    """A new request without force tries again: the uploader may have repaired the object."""
    submission_id = await bucket.drop()
    bucket.error, bucket.at = ObjectUnreadable("requester_pays", "no"), at
    ended = await bucket.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="requester_pays")
    assert await bucket.service.run(submission_id) == ended
    bucket.error = None
    stored = bucket.objects.content["uploads", "a/talk.mp4"][0]
    await bucket.intake.enqueue_object(SubmitObject("uploads", stored.name, None, {}), stored)
    assert (await bucket.service.run(submission_id)).state is State.SUBMITTED


async def test_run_forbidden_object_waits_until_it_is_granted(bucket: Bucket) -> None:
    """The queue retries after 409, which does not slow down the whole queue."""
    submission_id = await bucket.drop()
    bucket.error = ObjectForbidden("Cloud Storage: 403 forbidden.")
    for _ in range(2 * MAX_UPLOADS):
        error = await bucket.retry_later(submission_id)
        assert (error.status, error.retry_after_s) == (409, 60)
        bucket.clock.advance(hours=1)
    assert (await bucket.entry(submission_id)).lease_expires_at is None
    assert bucket.lines.named("object_forbidden")
    bucket.error = None
    assert (await bucket.service.run(submission_id)).state is State.SUBMITTED
    assert (await bucket.entry(submission_id)).forbidden_since is None


async def test_run_forbidden_object_is_rejected_after_a_day(bucket: Bucket) -> None:
    """The day begins at the first refusal, whatever the age of the entry."""
    submission_id = await bucket.drop()
    bucket.clock.advance(days=3)
    bucket.error = ObjectForbidden("no")
    first = bucket.clock.now
    await bucket.retry_later(submission_id)
    bucket.clock.advance(seconds=(FORBIDDEN_FOR - timedelta(seconds=1)).total_seconds())
    await bucket.retry_later(submission_id)
    assert (await bucket.entry(submission_id)).forbidden_since == first
    bucket.clock.advance(seconds=1)
    ended = await bucket.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="object_forbidden")
    assert bucket.assets == []


async def test_run_object_forbidden_anew_waits_anew(bucket: Bucket) -> None:
    """The object was read between the two refusals, so the second one begins a new day."""
    submission_id = await bucket.drop()
    bucket.error = ObjectForbidden("no")
    await bucket.retry_later(submission_id)
    bucket.clock.advance(hours=20)
    bucket.error, bucket.provider.signed = None, [RateLimited()]
    await bucket.retry_later(submission_id)
    bucket.clock.advance(hours=20)
    bucket.error = ObjectForbidden("no")
    await bucket.retry_later(submission_id)


@pytest.mark.parametrize("error", [ObjectUnavailable("no"), ObjectForbidden("no")])
async def test_run_object_that_always_breaks_off_ends(
    bucket: Bucket, error: TranscriptsError
) -> None:
    """Each such run leaves an asset behind, so their number is bounded."""
    submission_id = await bucket.drop(content=b"x" * 900)
    bucket.error, bucket.at = error, 300
    bucket.provider.states = [AssetState.WAITING] * 99

    def in_pieces(url: str, file: Any) -> None:
        reader = file.open()
        while reader.read(100):
            pass

    bucket.provider.on_send = in_pieces
    for _ in range(MAX_UPLOADS):
        await bucket.retry_later(submission_id)
        bucket.clock.advance(minutes=10)
    ended = await bucket.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="upload_failed")
    assert len(bucket.assets) == MAX_UPLOADS


async def test_run_object_that_is_corrupted_in_every_run_is_rejected(bucket: Bucket) -> None:
    """Another read may get the right bytes, so it is retried like an object that breaks off."""
    submission_id = await bucket.drop(content=b"x" * 900)
    bucket.error, bucket.at = ObjectCorrupted("no"), 900
    bucket.provider.states = [AssetState.WAITING] * 99

    def whole(url: str, file: Any) -> None:
        reader = file.open()
        while reader.read(100):
            pass

    bucket.provider.on_send = whole
    for _ in range(MAX_UPLOADS - 1):
        await bucket.retry_later(submission_id)
        bucket.clock.advance(minutes=10)
    ended = await bucket.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="object_corrupted")
    assert (len(bucket.assets), bucket.provider.submitted) == (MAX_UPLOADS, [])


async def test_run_reads_the_first_bytes_once_and_holds_no_more(bucket: Bucket) -> None:
    """The first bytes are sent from memory, and the others from the same reader."""
    submission_id = await bucket.drop()
    assert (await bucket.service.run(submission_id)).state is State.SUBMITTED
    assert bucket.provider.held == {"re_1": CONTENT}
    assert [reader.largest for reader in bucket.readers] == [FIRST_BYTES]


async def test_run_object_that_goes_both_ways_is_whole_each_time(bucket: Bucket) -> None:
    """The second way opens the object again."""
    bucket.provider.sends = [Sent.REFUSED]
    submission_id = await bucket.drop()
    assert (await bucket.service.run(submission_id)).state is State.SUBMITTED
    assert bucket.provider.held["re_2"] == CONTENT
    assert len(bucket.readers) == 2


async def test_run_closes_the_object_when_there_is_no_slot(bucket: Bucket) -> None:
    """The unused reader is closed."""
    bucket.provider.busy_s = 500.0
    submission_id = await bucket.drop()
    await bucket.retry_later(submission_id)
    assert [reader.closed for reader in bucket.readers] == [True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"content_encoding": "gzip"}, "compressed"), ({"customer_encrypted": True}, "customer_key")],
)
async def test_run_object_with_changed_metadata_is_checked_again(
    bucket: Bucket, changes: dict[str, Any], reason: str
) -> None:
    """Metadata change without a new generation, and an event may have had less."""
    submission_id = await bucket.drop()
    key = ("uploads", "a/talk.mp4")
    stored, content = bucket.objects.content[key]
    bucket.objects.content[key] = (replace(stored, **changes), content)
    ended = await bucket.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason=reason)
    assert (bucket.assets, bucket.readers) == ([], [])

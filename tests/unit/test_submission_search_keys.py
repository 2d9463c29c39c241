"""What a submission is found by: the name of its file, and the hash of its content."""

from __future__ import annotations

import pytest

from tests.pipeline import Pipeline
from transcripts.submissions.submission import search_keys
from transcripts.tasks.task import Source

HASH = "94a5896dd6dbf5e5"


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        (f"gs://b/{HASH}/Interview.MP4", ["interview.mp4", HASH]),
        (f"gs://b/2026/{HASH}/A\u0308.mp4", ["ä.mp4", HASH]),
        ("gs://b/talk.mp4", ["talk.mp4"]),
        (f"gs://{HASH}x/talk.mp4", ["talk.mp4"]),
        (f"gs://b/{HASH}/more/talk.mp4", ["talk.mp4"]),
    ],
)
def test_search_keys_are_the_name_and_the_hash_in_front_of_it(uri: str, keys: list[str]) -> None:
    """Letter case and composition of a name do not count."""
    assert search_keys(Source(uri, "1")) == keys


async def test_entry_keeps_only_the_hash_of_its_content_after_its_deletion(
    pipeline: Pipeline,
) -> None:
    """A file's name is personal. By the hash its user learns that the recording was bought."""
    submission_id = await pipeline.drop(f"{HASH}/talk.mp4")
    assert (await pipeline.entry(submission_id)).search_keys == ["talk.mp4", HASH]
    for _ in range(2):
        await pipeline.ledger.erase(submission_id, [])
        assert (await pipeline.entry(submission_id)).search_keys == [HASH]

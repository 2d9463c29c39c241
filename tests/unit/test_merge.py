"""Merging an incoming result or submission into the stored task."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fakes import NOW
from transcripts.callbacks.kinds import Kind
from transcripts.retention import expiry
from transcripts.tasks.merge import (
    DECIDING_FIELDS,
    SECOND_SLOT,
    Outcome,
    merge,
    renormalized,
)
from transcripts.tasks.task import (
    RESULT_FIELDS,
    SUBMISSION_FIELDS,
    Segment,
    SpeakerName,
    Status,
    Task,
)


def a_result(
    status: Status = Status.SUCCEEDED,
    seconds: int = 0,
    revision: str = "a",
    kind: Kind | None = None,
) -> Task:
    default = Kind.MULTI_SPEAKER if status is Status.SUCCEEDED else Kind.UNKNOWN
    received_at = NOW + timedelta(seconds=seconds)
    return Task(
        task_id="t",
        kind=kind or default,
        status=status,
        received_at=received_at,
        stored_at=NOW,
        expires_at=expiry(received_at, 30),
        created_at=received_at,
        revision=revision,
        segments=[Segment(0.0, 1.0, "s1", revision)],
    )


def a_submission(submission_id: str = "s") -> Task:
    return Task(
        task_id="t",
        kind=Kind.MULTI_SPEAKER,
        status=Status.SUBMITTED,
        created_at=NOW,
        submission_id=submission_id,
        asset_id="re_1",
        labels={"case": "7"},
        submitted_at=NOW,
        expires_at=expiry(NOW, 30),
    )


def header(task: Task) -> Task:
    """Return the fields of a task that a store reads to decide."""
    return Task(**{name: getattr(task, name) for name in DECIDING_FIELDS})


def apply(*incoming: Task) -> Task:
    """Merge tasks one after the other, as a store does: only changed fields are written."""
    stored: Task | None = None
    for task in incoming:
        merged = merge(header(stored) if stored else None, task)
        if stored is None or merged.changed is None:
            stored = merged.task
        else:
            stored = replace(
                stored, **{name: getattr(merged.task, name) for name in merged.changed}
            )
    assert stored is not None
    return stored


def test_merge_fields_have_one_writer_each() -> None:
    """Each field is written by the submission, the result, people or a deletion."""
    fields = [*SUBMISSION_FIELDS, *RESULT_FIELDS, "created_at", "speaker_names"]
    fields.append("deleted_revisions")
    assert sorted(fields) == sorted(Task.__struct_fields__)


def test_merge_same_result_is_a_duplicate() -> None:
    """Nothing is written, even if the result was received at another time."""
    merged = merge(a_result(), a_result(seconds=60))
    assert (merged.outcome, merged.changed) == (Outcome.DUPLICATE, ())


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Status.SUCCEEDED, Status.FAILED),
        (Status.SUCCEEDED, Status.UNRECOGNIZED),
        (Status.FAILED, Status.UNRECOGNIZED),
    ],
)
def test_merge_succeeded_beats_failed_beats_unrecognized(better: Status, worse: Status) -> None:
    """The order of delivery and the time of receipt do not matter."""
    good, bad = a_result(better, revision="a"), a_result(worse, seconds=60, revision="b")
    assert merge(good, bad).outcome is Outcome.SUPERSEDED
    assert merge(bad, good).outcome is Outcome.STORED
    assert apply(good, bad).status == apply(bad, good).status == better


def test_merge_same_status_keeps_the_later_received() -> None:
    """The order of delivery does not matter."""
    early, late = a_result(seconds=1, revision="z"), a_result(seconds=2, revision="a")
    assert apply(early, late).revision == apply(late, early).revision == "a"


def test_merge_same_time_keeps_the_greater_hash() -> None:
    """Every machine decides the same."""
    one, two = a_result(revision="a"), a_result(revision="b")
    assert apply(one, two).revision == apply(two, one).revision == "b"


def test_merge_result_replaces_overdue() -> None:
    """An overdue task has no result, so any result replaces that status."""
    overdue = replace(a_submission(), status=Status.OVERDUE)
    for status in (Status.SUCCEEDED, Status.FAILED, Status.UNRECOGNIZED):
        assert apply(overdue, a_result(status)).status == status


def test_merge_early_result_is_joined_with_its_submission() -> None:
    """The result keeps its own fields."""
    early = apply(a_result())
    assert early.submission_id is None
    joined = apply(a_result(), a_submission())
    assert (joined.submission_id, joined.asset_id) == ("s", "re_1")
    assert (joined.status, joined.revision) == (Status.SUCCEEDED, "a")
    assert joined.segments == a_result().segments
    assert joined.expires_at == a_result().expires_at


def test_merge_second_submission_is_superseded() -> None:
    """The first submission stays."""
    stored = apply(a_submission("first"))
    assert merge(stored, a_submission("first")).outcome is Outcome.DUPLICATE
    merged = merge(stored, a_submission("second"))
    assert (merged.outcome, merged.task.submission_id) == (Outcome.SUPERSEDED, "first")


def test_merge_keeps_speaker_names() -> None:
    """The names survive a later result and a late submission."""
    edited = replace(a_result(), speaker_names=[SpeakerName("Speaker 1", "Ada")])
    for later in (a_result(seconds=60, revision="b"), a_submission()):
        merged = merge(edited, later)
        assert merged.task.speaker_names == [SpeakerName("Speaker 1", "Ada")]
        assert "speaker_names" not in (merged.changed or ())


def test_merge_failure_without_a_shape_has_the_bought_kind() -> None:
    """The kind is the same in either order of submission and failure."""
    failure = a_result(Status.FAILED)
    assert apply(failure).kind is Kind.UNKNOWN
    assert apply(failure, a_submission()).kind is Kind.MULTI_SPEAKER
    assert apply(a_submission(), failure).kind is Kind.MULTI_SPEAKER
    foreign = a_result(Status.UNRECOGNIZED)
    assert apply(a_submission(), foreign).kind is Kind.UNKNOWN


RESULTS = st.builds(
    a_result,
    st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.UNRECOGNIZED]),
    st.integers(0, 3),
    st.sampled_from("abcdef"),
)


@given(st.lists(RESULTS, min_size=1, max_size=4, unique_by=lambda task: task.revision), st.data())
def test_merge_in_any_order_reaches_the_same_end(results: list[Task], data: st.DataObject) -> None:
    """Deliveries in any order, with repetitions, reach the same task."""
    deliveries = [*results, a_submission()]
    expected = apply(*deliveries)
    repeated = deliveries + data.draw(st.lists(st.sampled_from(deliveries), max_size=4))
    assert apply(*data.draw(st.permutations(repeated))) == expected


def test_merge_every_permutation_reaches_the_same_end() -> None:
    """Every order of one delivery of each kind reaches the same task."""
    deliveries = [
        a_result(Status.SUCCEEDED, 0, "a"),
        a_result(Status.SUCCEEDED, 1, "b"),
        a_result(Status.FAILED, 2, "c"),
        a_result(Status.UNRECOGNIZED, 3, "d"),
        a_submission(),
    ]
    ends = {repr(apply(*order)) for order in permutations(deliveries)}
    assert len(ends) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.UNRECOGNIZED])
def test_merge_of_both_sides_is_the_same_in_either_order(status: Status) -> None:
    """Every field of an early result survives its submission."""
    result, submission = a_result(status, seconds=60), a_submission()
    early, late = apply(result, submission), apply(submission, result)
    assert early == late
    assert early.created_at == submission.submitted_at
    assert early.expires_at == result.expires_at


def test_merge_of_a_result_alone_is_created_when_it_was_received() -> None:
    """A later result of the same task moves ``created_at``."""
    first, second = a_result(), a_result(seconds=60, revision="b")
    assert apply(first).created_at == first.received_at
    assert apply(first, second).created_at == second.received_at


def test_submission_after_an_early_result_writes_only_its_own_fields() -> None:
    """The result sets status and expiry; a failure gets the kind that was bought."""
    early = a_result(Status.FAILED)
    merged = merge(early, a_submission())
    assert merged.outcome is Outcome.STORED
    assert merged.changed is not None
    assert sorted(merged.changed) == sorted([*SUBMISSION_FIELDS, "kind", "created_at"])
    expected = {name: getattr(a_submission(), name) for name in SUBMISSION_FIELDS}
    expected["created_at"] = a_submission().submitted_at
    assert merged.task == replace(early, kind=Kind.MULTI_SPEAKER, **expected)


def test_result_after_a_submission_writes_only_its_own_fields() -> None:
    """The write names no field of the submission or of people."""
    merged = merge(a_submission(), a_result())
    assert merged.changed == (*RESULT_FIELDS, "created_at")
    expected = {name: getattr(a_result(), name) for name in RESULT_FIELDS}
    assert merged.task == replace(a_submission(), **expected)


def test_submission_after_a_result_of_another_kind_keeps_that_kind() -> None:
    """The result has the shape of another endpoint, and its purchase does not change that."""
    early = a_result(Status.UNRECOGNIZED, kind=Kind.AUDIO)
    assert apply(early, a_submission()).kind is Kind.AUDIO


def test_merge_stored_submission_is_compared_by_its_id() -> None:
    """The same submission is a duplicate, another one is superseded."""
    stored = header(a_submission("first"))
    assert merge(stored, a_submission("first")).outcome is Outcome.DUPLICATE
    assert merge(stored, a_submission("second")).outcome is Outcome.SUPERSEDED


def test_submission_of_a_task_without_a_result_writes_status_and_expiry() -> None:
    """Without a result, both fields follow from the submission."""
    merged = merge(Task(task_id="t", status=Status.OVERDUE), a_submission())
    assert merged.changed is not None
    assert {"status", "expires_at"} <= set(merged.changed)
    assert (merged.task.status, merged.task.expires_at) == (Status.SUBMITTED, expiry(NOW, 30))


def a_deleted_task(*revisions: str) -> Task:
    """Return what a store reads of a deleted task to decide."""
    return Task(task_id="t", status=Status.DELETED, deleted_revisions=list(revisions))


def test_merge_deleted_revision_is_refused() -> None:
    """The task may be deleted, or have another result."""
    for stored in (
        a_deleted_task("a", "b"),
        replace(a_result(revision="c"), deleted_revisions=["a", "b"]),
    ):
        merged = merge(stored, a_result(seconds=60, revision="a"))
        assert (merged.outcome, merged.changed) == (Outcome.DELETED, ())


def test_merge_other_result_of_a_deleted_task_is_a_new_task() -> None:
    """The whole document is written, without the ids of the deleted one."""
    stored = replace(a_deleted_task("a"), submission_id="s", asset_id="re_1")
    merged = merge(stored, a_result(revision="b"))
    assert merged.outcome is Outcome.STORED
    assert merged.changed is None
    assert merged.task == replace(a_result(revision="b"), deleted_revisions=["a"])


def test_merge_submission_of_a_deleted_task_leaves_its_ids_only() -> None:
    """Neither labels nor the object's name; a second time nothing is written."""
    merged = merge(a_deleted_task("a"), a_submission())
    assert merged.outcome is Outcome.DELETED
    assert merged.changed == ("submission_id", "asset_id")
    assert (merged.task.submission_id, merged.task.labels) == ("s", {})
    assert merge(merged.task, a_submission()).changed == ()


def test_merge_keeps_deleted_revisions() -> None:
    """Of a task that was deleted and has a result again."""
    stored = replace(a_result(), deleted_revisions=["x"])
    for later in (a_result(seconds=60, revision="b"), a_submission()):
        merged = merge(stored, later)
        assert merged.task.deleted_revisions == ["x"]
        assert "deleted_revisions" not in (merged.changed or ())


def test_renormalized_result_has_pages_of_its_own() -> None:
    """Beside those of the present result, if both are of one body; people's names stay."""
    stored = replace(a_submission(), revision="a", speaker_names=[SpeakerName("A", "Ada")])
    merged = renormalized(header(stored), a_result())
    assert merged.task.first_page == SECOND_SLOT
    assert merged.changed is not None
    assert not {"speaker_names", "labels", "deleted_revisions"} & set(merged.changed)
    assert renormalized(
        header(replace(stored, first_page=SECOND_SLOT)), a_result()
    ).task == replace(merged.task, first_page=0)
    assert renormalized(header(stored), a_result(revision="b")).task.first_page == 0


def test_merge_submission_into_a_task_without_result_writes_all_its_fields() -> None:
    """Only its reader's names were stored before."""
    named = Task(task_id="t", speaker_names=[SpeakerName("A", "Ada")])
    task = apply(named, a_submission())
    assert task == replace(
        a_submission(),
        speaker_names=named.speaker_names,
        kind=task.kind,
        created_at=task.created_at,
    )

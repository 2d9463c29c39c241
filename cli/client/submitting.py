"""Submitting files, objects and assets: what is known of each, what it costs, what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from cli.client.api import Api
from cli.client.lookup import Found, NotFound, find, find_content, split_generation
from cli.client.progress import Progress
from cli.client.recordings import FAULTS, REASONS, duration_s
from cli.client.uploads import (
    Bucket,
    Content,
    FileUnreadable,
    object_name,
    open_bucket,
    read_content,
)
from cli.failures import ApiError, Failure
from cli.output import clean, note
from transcripts.cost import dollars
from transcripts.submissions.answers import EnqueueResult, Receipt
from transcripts.submissions.requests import MAX_ASSETS, RequestBody
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
    submission_id_of_object,
)
from transcripts.tasks.task import Status
from transcripts.uploads.rejections import RejectReason
from transcripts.uploads.stored_object import LABEL_PREFIX

NEW: Final = "new"
LEFT_OUT: Final = "left_out"
FAILED: Final = "failed"
QUEUED: Final = "queued"

_PERHAPS_BOUGHT: Final = (
    "It was bought, or may have been, and its transcript is not here. To buy it again: --force"
)
BOUGHT: Final = frozenset({State.SUBMITTED, State.SUBMIT_UNKNOWN})
"""States of a submission that only ``--force`` buys again."""


class Input(NamedTuple):
    """What the user names; ``path`` is set for a file, with its name as it is there."""

    text: str
    path: Path | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an input, or would become of it.

    ``state`` is that of the submission or the task, or ``new``, ``left_out`` or ``failed``.
    ``duplicate`` tells that it is bought already. An ``error`` has a stable ``reason``. The length
    in seconds and the price in US dollars are None where they are not known.
    """

    input: str
    state: str
    submission_id: str | None = None
    task_id: str | None = None
    duplicate: bool = False
    labels: dict[str, str] = {}
    duration_s: float | None = None
    cost_usd: float | None = None
    error: str | None = None
    reason: str | None = None

    @property
    def subject(self) -> str:
        """What to follow."""
        return self.submission_id or self.input

    @property
    def is_failure(self) -> bool:
        """Whether the user has to do something; a file that is no media was only left out."""
        return self.error is not None and self.state != LEFT_OUT


def not_taken(path: Path, reason: RejectReason) -> Item:
    """Return what is said of a file that is not taken."""
    state = FAILED if reason in FAULTS else LEFT_OUT
    return Item(input=clean(str(path)), state=state, error=REASONS[reason], reason=reason)


def failed(text: str, error: Failure) -> Item:
    """Return an input that was not submitted."""
    return Item(input=clean(text), state=FAILED, error=error.message, reason=error.reason)


class Submitter:
    """Submits each input in its own way."""

    def __init__(
        self, api: Api, bucket: str | None, labels: dict[str, str], *, force: bool
    ) -> None:
        """``bucket`` is the one that the user names."""
        self._api = api
        self._bucket_name = bucket
        self._labels = labels
        self._force = force
        self._contents: dict[Path, Content] = {}
        self._submitted: dict[str, Item] = {}
        """By the hash of the content: two files of one run may be the same recording."""

    # Before anything is bought ----------------------------------------------------------------

    def estimate(self, inputs: Collection[Input]) -> Iterator[Item]:
        """Yield for each input whether it would be bought, and for how much; changes nothing."""
        seen: set[str] = set()
        for each in inputs:
            try:
                yield self._estimate(each, seen)
            except Failure as error:
                yield failed(each.text, error)
            except OSError as error:
                yield failed(each.text, FileUnreadable(error))

    def _estimate(self, given: Input, seen: set[str]) -> Item:
        found, length_s, again = None, None, False
        if given.path is not None:
            content = self._content(given.path)
            again = content.sha256 in seen
            seen.add(content.sha256)
            found = find_content(self._api, given.text, given.path.name, content)
            length_s = duration_s(given.path)
        else:
            try:
                found = find(self._api, given.text)
            except NotFound:
                found = None
        if found is not None and found.task is not None and found.task.duration_s:
            length_s = found.task.duration_s
        bought = found is not None and _is_bought(found)
        buys = not again and (self._force or not bought)
        cost = None if length_s is None else dollars(length_s)
        return Item(
            input=clean(given.text),
            state=found.state if found else NEW,
            submission_id=found.submission.submission_id if found and found.submission else None,
            task_id=found.task_id if found else None,
            duplicate=bought or again,
            labels=_labels_of(found),
            duration_s=length_s,
            cost_usd=cost if buys else 0.0,
        )

    def _content(self, path: Path) -> Content:
        """Read a file, once; a terminal shows how far a large one is read."""
        if path not in self._contents:
            label = f"reading {clean(path.name)}"
            with Progress(label, path.stat().st_size, quiet=True) as progress:
                self._contents[path] = read_content(path, progress.at)
        return self._contents[path]

    # Submitting -------------------------------------------------------------------------------

    def submit(self, inputs: Collection[Input]) -> Iterator[Item]:
        """Yield what became of each input as it ends; one that fails does not stop the others."""
        assets = []
        for each in inputs:
            try:
                if each.path is not None:
                    yield self._file(each, each.path)
                elif each.text.startswith("gs://"):
                    yield self._object(each.text, each.text)
                else:
                    assets.append(each.text)
            except Failure as error:
                yield failed(each.text, error)
            except OSError as error:
                yield failed(each.text, FileUnreadable(error))
        for at in range(0, len(assets), MAX_ASSETS):
            batch = assets[at : at + MAX_ASSETS]
            try:
                yield from [self._asset(batch[0])] if len(assets) == 1 else self._assets(batch)
            except Failure as error:
                yield from (failed(text, error) for text in batch)

    def _file(self, given: Input, path: Path) -> Item:
        text, content = clean(given.text), self._content(path)
        if content.sha256 in self._submitted:
            return replace(self._submitted[content.sha256], input=text, duplicate=True)
        try:
            found = find_content(self._api, given.text, path.name, content)
        except Failure:
            # A caller may be allowed only to upload. Else this saves an upload: the ledger
            # recognizes the recording in any case.
            found = None
        if found is not None and _is_bought(found) and not self._force:
            return self._bought(text, found)
        bucket = open_bucket(self._api.target, self._bucket_name)
        name = _name_in(bucket, found) or object_name(path.name, content)
        metadata = {f"{LABEL_PREFIX}{key}": value for key, value in self._labels.items()}
        with Progress(clean(path.name), content.size) as progress:
            uploaded = bucket.upload(path, name, content, metadata, progress.at)
        if uploaded.existed or self._force:
            # The event of an object comes once. A repetition asks submit itself.
            if uploaded.existed:
                note(f"{text} is in the bucket already, and is not uploaded again.")
            item = self._object(text, uploaded.uri)
        else:
            submission_id = submission_id_of_object(uploaded.uri, uploaded.generation or "")
            item = Item(input=text, state=QUEUED, submission_id=submission_id, labels=self._labels)
        if item.error is None:
            self._submitted[content.sha256] = item
        return item

    def _bought(self, text: str, found: Found) -> Item:
        """Return a recording that was bought before; one without a transcript is no success."""
        submission = found.submission
        item = Item(
            input=text,
            state=found.state,
            submission_id=submission.submission_id if submission else None,
            task_id=found.task_id,
            labels=_labels_of(found),
        )
        if found.state not in (Status.SUCCEEDED, Status.SUBMITTED, Status.OVERDUE):
            reason = "transcript_deleted" if found.state == Status.DELETED else found.state
            error = found.next_step or ""
            again = "" if "--force" in error else " To buy it again: --force"
            return replace(item, error=f"{error}{again}", reason=reason)
        if self._labels and submission is not None and submission.asset_id is not None:
            body = RequestBody(asset_id=submission.asset_id, labels=self._labels)
            item = replace(item, labels=self._api.submit(body, Receipt).labels)
        return replace(item, duplicate=True)

    def _object(self, text: str, uri: str) -> Item:
        address, generation = split_generation(uri)
        body = RequestBody(
            uri=address, generation=generation, labels=self._labels, force=self._force
        )
        answer = self._api.submit(body, EnqueueResult)
        ids = [*answer.queued, *answer.duplicates, *answer.deleted, *answer.unknown]
        return self._enqueued(clean(text), ids[0] if ids else "", answer)

    def _asset(self, asset_id: str) -> Item:
        body = RequestBody(asset_id=asset_id, labels=self._labels, force=self._force)
        try:
            answer = self._api.submit(body, Receipt)
        except ApiError as error:
            found = self._found(asset_id)
            if error.code not in ("transcript_deleted", State.SUBMIT_UNKNOWN) or found is None:
                raise
            return self._bought(asset_id, found)
        item = Item(
            input=asset_id,
            state=answer.status,
            submission_id=answer.submission_id,
            task_id=answer.task_id,
            duplicate=answer.duplicate,
            labels=answer.labels,
        )
        found = self._found(answer.submission_id) if answer.duplicate else None
        return item if found is None else self._bought(asset_id, found)

    def _assets(self, asset_ids: Sequence[str]) -> Iterator[Item]:
        body = RequestBody(asset_ids=list(asset_ids), labels=self._labels, force=self._force)
        answer = self._api.submit(body, EnqueueResult)
        known = {*answer.queued, *answer.duplicates, *answer.deleted, *answer.unknown}
        for asset_id in asset_ids:
            submission_id = submission_id_of_asset(asset_id)
            if asset_id not in answer.failed and submission_id not in known:
                # An upload got the asset: its submission has another id.
                found = self._found(asset_id)
                entry = found.submission if found else None
                submission_id = entry.submission_id if entry else next(iter(known), "")
            yield self._enqueued(asset_id, submission_id, answer)

    def _enqueued(self, text: str, submission_id: str, answer: EnqueueResult) -> Item:
        """Return what was decided about one submission of a list."""
        labels = answer.labels.get(submission_id, {})
        item = Item(input=text, state=QUEUED, submission_id=submission_id, labels=labels)
        if submission_id in answer.queued:
            return item
        if submission_id in (*answer.duplicates, *answer.deleted, *answer.unknown):
            found = self._found(submission_id)
            if found is not None:
                return self._bought(text, found)
            if submission_id in answer.duplicates:
                return replace(item, state=State.SUBMITTED, duplicate=True)
            if submission_id in answer.deleted:
                state, reason = Status.DELETED.value, "transcript_deleted"
            else:
                state = reason = State.SUBMIT_UNKNOWN.value
            return replace(item, state=state, error=_PERHAPS_BOUGHT, reason=reason)
        error = "It was not enqueued. Submit it again."
        return Item(input=text, state=FAILED, error=error, reason="not_enqueued")

    def _found(self, subject: str) -> Found | None:
        """Return more about what submit has answered; None for a caller who may not read it."""
        try:
            return find(self._api, subject)
        except Failure:
            return None


def _is_bought(found: Found) -> bool:
    return found.task is not None or (
        found.submission is not None and found.submission.state in BOUGHT
    )


def _labels_of(found: Found | None) -> dict[str, str]:
    known = found and (found.submission or found.task)
    return known.labels if known else {}


def _name_in(bucket: Bucket, found: Found | None) -> str | None:
    """Return the name under which a recording lies in a bucket, or lay there."""
    source = found.submission.source if found and found.submission else None
    prefix = f"gs://{bucket.name}/"
    return source.uri.removeprefix(prefix) if source and source.uri.startswith(prefix) else None

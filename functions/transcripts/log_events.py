"""Every event that a function logs: its severity, its fields, what it means and what to do.

``docs/reference.md#log-events`` is made from this table, ``tests/unit/test_docs.py`` compares it
with every call, and ``tests/infra`` compares the filters of metrics and alerts with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from transcripts.tasks.merge import Outcome


class LogEvent(NamedTuple):
    """One event. ``fields`` are those that a line may have, beside the fields of every line."""

    severity: str
    fields: tuple[str, ...]
    meaning: str
    action: str = ""


def _info(meaning: str, *fields: str) -> LogEvent:
    return LogEvent("INFO", fields, meaning)


def _warning(meaning: str, action: str, *fields: str) -> LogEvent:
    return LogEvent("WARNING", fields, meaning, action)


def _error(meaning: str, action: str, *fields: str) -> LogEvent:
    return LogEvent("ERROR", fields, meaning, action)


COMMON_FIELDS: Final = ("severity", "message", "time", "function", "version")
"""The fields of every line."""

_SUBMISSION: Final = "submission_id"
_TASK: Final = "task_id"
_RETRIED: Final = "nothing: it is tried again"
_RESULT: Final = (
    *(_TASK, "kind", "status", "revision", "segments", "duration_s", "delay_s"),
    *("anomalies", "attempt"),
)

EVENTS: Final[Mapping[str, LogEvent]] = {
    "answer_lost": _error(
        "Mavi's answer to a purchase was lost, so it may have been bought",
        "[decide](operations.md#overdue-or-unknown) whether to buy it again",
        *(_SUBMISSION, "reason"),
    ),
    "bought_but_not_recorded": _error(
        "a job was bought, but the ledger does not say it",
        "wait for its result, which has no submission: `transcripts list --unmatched`",
        *(_SUBMISSION, _TASK, "reason"),
    ),
    "callback_not_published": _error(
        "Pub/Sub did not acknowledge a callback, and Mavi got 503",
        "[find out why](operations.md#callback-failed); its task becomes overdue",
        *(_TASK, "reason"),
    ),
    "callback_poisoned": _error(
        "a message on the topic of callbacks can never be processed",
        "[look at the dead letters](operations.md#dead-letters)",
        *("reason", "message_id", _TASK, "attempt"),
    ),
    "callback_refused": _error(
        "a callback with a live token was refused by its size, time or method",
        "[its result is lost](operations.md#callback-failed): buy it again",
        *("code", "method"),
    ),
    "callback_too_large": _error(
        "a callback does not fit into a message, even compressed",
        "[its result is lost](operations.md#callback-failed): cut the recording and buy the parts",
        *("body_bytes", "code"),
    ),
    "event_poisoned": _error(
        "a message on the topic of uploads can never be processed",
        "[look at the dead letters](operations.md#dead-letters)",
        "reason",
    ),
    "outcome_not_recorded": _error(
        "the store was down for minutes after a call of Mavi",
        "nothing: when the lease ends, the sweep corrects the entry",
        *(_SUBMISSION, "reason"),
    ),
    "result_not_announced": _error(
        "the results topic did not acknowledge a result that came before its submission",
        "tell your own programs: no event has the submission of this task",
        *(_TASK, "reason"),
    ),
    "sweep_item_failed": _error(
        "a defect stopped one item of a sweep", "report the stack of the line", "stack"
    ),
    "unexpected_error": _error(
        "a defect stopped a request, which was answered 503",
        "report the stack of the line",
        "stack",
    ),
    "budget_exhausted": _warning(
        "the spend cap stops a queued submission until tomorrow (UTC)",
        "nothing, or [raise the cap](operations.md#spend-near-the-cap)",
        _SUBMISSION,
    ),
    "callback_rejected": _warning(
        "a body with a live token was no callback; it is kept",
        "[look at it](operations.md#dead-letters)",
        *("code", "body_bytes", "sha256"),
    ),
    "lease_lost": _warning("another instance took a submission over", _RETRIED, _SUBMISSION),
    "lease_not_renewed": _warning(
        "the store did not extend a lease", _RETRIED, _SUBMISSION, "reason"
    ),
    "list_partly_enqueued": _warning(
        "some assets of a list were not enqueued", "the caller repeats them", "failed", "reason"
    ),
    "not_on_record": _warning(
        "Cloud Tasks runs a submission that has expired", "nothing", _SUBMISSION
    ),
    "object_forbidden": _warning(
        "submit may not read an object",
        "grant it the role that `reason` names, within a day",
        *(_SUBMISSION, "reason"),
    ),
    "recording_forbidden": _warning(
        "a page can't play a recording",
        "grant the permission that `reason` names",
        *(_TASK, "reason"),
    ),
    "rejected": _warning(
        "nothing was bought",
        "see the [reason](submissions.md#uploaded-objects) in `code`",
        *(_SUBMISSION, "code", "asset_id", "http_status", "other", "reason", "upload_status"),
    ),
    "repetition_restored": _warning(
        "a repetition that no task of the queue runs was undone; the previous attempt counts",
        "submit it again if it is still wanted",
        _SUBMISSION,
    ),
    "requeued": _warning(
        "the sweep has enqueued an idle submission again",
        "nothing; if it repeats, [look at the queue](operations.md#submissions-wait)",
        *(_SUBMISSION, "state"),
    ),
    "signed_url_failed": _warning(
        "Mavi did not take an upload by address", "nothing: it is streamed", _SUBMISSION, "how"
    ),
    "stream_broken": _warning(
        "a transcript lost a page, or the store failed, while it was sent",
        "repeat the request",
        *("code", "reason"),
    ),
    "task_overdue": _warning(
        "a bought task has no result yet",
        "[wait, or buy it again](operations.md#overdue-or-unknown)",
        *(_TASK, _SUBMISSION, "resubmitted"),
    ),
    "transient_error": _warning(
        "a request could not be done now, and the caller was told so", _RETRIED, "code", "reason"
    ),
    "upload_rejected": _warning(
        "an uploaded object is not transcribed",
        "see the [reason](submissions.md#uploaded-objects) in `code`",
        *(_SUBMISSION, "code"),
    ),
    "callback_published": _info(
        "a callback is on the topic, and Mavi got 200", _TASK, "kind", "body_bytes", "sha256"
    ),
    "event_ignored": _info("an event that is no finished upload"),
    "mavi_answered": _info(
        "Mavi has answered a purchase", _SUBMISSION, "asset_id", "answer", "retries_left"
    ),
    f"result_{Outcome.DELETED}": _info(
        "a deleted result was delivered again, and is not stored", *_RESULT
    ),
    f"result_{Outcome.DUPLICATE}": _info("a result was stored before", *_RESULT),
    f"result_{Outcome.STORED}": _info("a result is stored, `delay_s` after its callback", *_RESULT),
    f"result_{Outcome.SUPERSEDED}": _info(
        "a result lost against a better one; its body is kept", *_RESULT
    ),
    "renormalized": _info(
        "a result was made again from its stored body", _TASK, "status", "revision", "segments"
    ),
    "submission_deleted": _info(
        "a submission was deleted with its tasks; `left` names what is not deleted yet",
        *(_SUBMISSION, "tasks", "left"),
    ),
    "submitted": _info("a transcript was bought", _SUBMISSION, _TASK),
    "swept": _info(
        "the counts of one run of the sweep",
        *("overdue", "submit_unknown", "requeued", "resubmitted", "failed", "more"),
    ),
    "task_deleted": _info(
        "a task was deleted; `left` names what is not deleted yet", _TASK, "left"
    ),
    "upload_enqueued": _info(
        "an uploaded object is in the queue, or was before",
        *(_SUBMISSION, "generation", "decision"),
    ),
    "uploaded": _info("an object is at Mavi", _SUBMISSION, "asset_id", "way"),
}

"""Promises about the alerts: what an operator is told of, when, and at which address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.infra.message_rules import KEPT, PUSHES, seconds
from tests.infra.plan import Plan, Resource, nested
from transcripts.settings import FUNCTIONS

MINUTE_S = 60
SUBSCRIPTION = "pubsub.googleapis.com/subscription"
KINDS = ("condition_threshold", "condition_absent", "condition_matched_log")


def _conditions(plan: Plan, kind: str) -> dict[str, dict[str, Any]]:
    """Return every condition of a kind, by its filter."""
    return {
        str(block.get("filter")): block
        for policy in plan.all("monitoring_alert_policy")
        for condition in policy["conditions"] or []
        for block in condition.get(kind) or []
    }


def _subscription_filter(plan: Plan, subscription: str, metric: str) -> str:
    return " AND ".join(
        [
            'resource.type="pubsub_subscription"',
            f'resource.labels.subscription_id="{plan.prefix}-{subscription}"',
            f'metric.type="{SUBSCRIPTION}/{metric}"',
        ]
    )


def alerts_watch_what_dies_silently(plan: Plan) -> Iterator[str]:
    """With an address: dead letters, what waits among them, and old messages, each at its bound."""
    if not plan.variable("alert_email"):
        if plan.all("monitoring_alert_policy"):
            yield "alerts that reach nobody"
        return
    pushes = [f"{topic}-to-{function}" for topic, (function, _) in PUSHES.items()]
    watched = [
        *((name, "dead_letter_message_count", 0, 0, "ALIGN_SUM") for name in pushes),
        *((f"{name}-kept", "num_undelivered_messages", 0, 0, "ALIGN_MAX") for name in KEPT),
        *((name, "oldest_unacked_message_age", 15, 5, "ALIGN_MAX") for name in pushes),
    ]
    found = _conditions(plan, "condition_threshold")
    for label in ('response_code_class="5xx"', 'response_code="429"'):
        requests = " AND ".join(
            [
                'resource.type="cloud_run_revision"',
                f'resource.labels.service_name="{plan.prefix}-callback"',
                'metric.type="run.googleapis.com/request_count"',
                f"metric.labels.{label}",
            ]
        )
        condition = found.pop(requests, {})
        bound = (condition.get("comparison"), condition.get("threshold_value"))
        if bound != ("COMPARISON_GT", 0) or seconds(condition.get("duration")):
            yield f"no alert when callback answers {label}: {bound}"
    for name, metric, over_min, for_min, aligner in watched:
        condition = found.pop(_subscription_filter(plan, name, metric), None)
        if condition is None:
            yield f"{metric} of {name} is not watched"
            continue
        bound = (condition.get("comparison"), condition.get("threshold_value") or 0)
        if bound != ("COMPARISON_GT", over_min * MINUTE_S):
            yield f"{metric} of {name} is told of when {bound}"
        if seconds(condition.get("duration")) != for_min * MINUTE_S:
            yield f"{metric} of {name} is told of after {condition.get('duration')}"
        window = nested(condition, "aggregations")
        measured = (window.get("per_series_aligner"), seconds(window.get("alignment_period")))
        if measured != (aligner, 5 * MINUTE_S):
            yield f"{metric} of {name} is measured by {measured}"
    if found:
        yield f"watched as well: {sorted(found)}"


def a_silent_sweep_is_noticed(plan: Plan) -> Iterator[str]:
    """With an address: no success for three hours, whatever revision; or a call that failed."""
    if not plan.variable("alert_email"):
        return
    succeeded = " AND ".join(
        [
            'resource.type="cloud_run_revision"',
            f'resource.labels.service_name="{plan.prefix}-sweep"',
            'metric.type="run.googleapis.com/request_count"',
            'metric.labels.response_code_class="2xx"',
        ]
    )
    absent = _conditions(plan, "condition_absent")
    if list(absent) != [succeeded]:
        yield f"nothing notices that nothing comes: {sorted(absent)}"
    for condition in absent.values():
        if seconds(condition.get("duration")) != 180 * MINUTE_S:
            yield f"missed after {condition.get('duration')}"
        window = nested(condition, "aggregations")
        if (window.get("per_series_aligner"), seconds(window.get("alignment_period"))) != (
            "ALIGN_SUM",
            60 * MINUTE_S,
        ):
            yield f"missed by {window}"
        # A revision that was replaced is a series that ends, and would be missed.
        reducer, fields = window.get("cross_series_reducer"), window.get("group_by_fields")
        if (reducer, fields) != ("REDUCE_SUM", ["resource.label.service_name"]):
            yield f"every revision is missed by itself: {reducer}, {fields}"
    # What was never measured is not missing: the scheduler's own log tells of that.
    failed = " AND ".join(
        [
            'resource.type="cloud_scheduler_job"',
            f'resource.labels.job_id="{plan.prefix}-sweep"',
            "severity>=ERROR",
        ]
    )
    if failed not in _conditions(plan, "condition_matched_log"):
        yield "nothing notices a sweep that never ran"


def errors_of_the_code_are_told(plan: Plan) -> Iterator[str]:
    """With an address: what any function logs as an error; mails about a log are bounded."""
    if not plan.variable("alert_email"):
        return
    services = " OR ".join(f'"{plan.prefix}-{name}"' for name in sorted(FUNCTIONS))
    errors = " AND ".join(
        [
            'resource.type="cloud_run_revision"',
            f"resource.labels.service_name=({services})",
            "severity>=ERROR",
            "jsonPayload.function:*",
        ]
    )
    if errors not in _conditions(plan, "condition_matched_log"):
        yield f"errors of the code are told to nobody: {services}"
    for policy in plan.all("monitoring_alert_policy"):
        limit = policy.block("alert_strategy", "notification_rate_limit")
        of_log = bool(policy.block("conditions").get("condition_matched_log"))
        wanted = 60 * MINUTE_S if of_log else 0
        if seconds(limit.get("period")) != wanted:
            yield f"{policy['display_name']} is told every {limit.get('period')}"


def alerts_reach_somebody(plan: Plan) -> Iterator[str]:
    """With an address: every alert is one condition, on, with advice, mailed to that address."""
    address = plan.variable("alert_email")
    channels = plan.all("monitoring_notification_channel")
    found = [(channel["type"], channel["labels"]) for channel in channels]
    if found != ([("email", {"email_address": address})] if address else []):
        yield f"alerts go to {found}"
    if any(channel["enabled"] is False for channel in channels):
        yield "alerts go to an address that is off"
    written = plan.source["google_monitoring_alert_policy.this"]
    if written.get("notification_channels") != (
        "${google_monitoring_notification_channel.email[*].id}"
    ):
        yield "alerts reach nobody"
    for policy in plan.all("monitoring_alert_policy"):
        yield from _flaws(policy)


def _flaws(policy: Resource) -> Iterator[str]:
    name = policy["display_name"]
    blocks = [block for c in policy["conditions"] or [] for kind in KINDS for block in c[kind]]
    if len(blocks) != 1:
        yield f"{name} has {len(blocks)} conditions"
    if policy["enabled"] is False:
        yield f"{name} is off"
    if not policy.block("documentation").get("content"):
        yield f"{name} does not say what to do"


RULES = (
    alerts_watch_what_dies_silently,
    a_silent_sweep_is_noticed,
    errors_of_the_code_are_told,
    alerts_reach_somebody,
)

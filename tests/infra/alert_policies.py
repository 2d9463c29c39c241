"""Policies on alerts: the watched metrics, their bounds, and the notified address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tests.infra.filters import Clause, parse_filter
from tests.infra.messaging_policies import HOUR_S, KEPT, PUSHES
from tests.infra.plan import Plan, Policy, nested, number, seconds
from transcripts.settings import FUNCTIONS

MINUTE_S: Final = 60
KINDS: Final = ("condition_threshold", "condition_absent", "condition_matched_log")


class Watch(NamedTuple):
    """A metric that has to be watched, and the bounds of the condition that watches it."""

    filter: str
    over: tuple[float, float] = (0, 0)
    aligners: tuple[str, ...] = ("ALIGN_SUM", "ALIGN_DELTA")


def watches(plan: Plan) -> list[Watch]:
    """Return every metric that a message, a result or a purchase depends on."""
    found = []
    metric = (
        'resource.type="pubsub_subscription" AND metric.type="pubsub.googleapis.com/subscription'
    )
    for topic, (function, _) in PUSHES.items():
        of = f'resource.labels.subscription_id="{plan.prefix}-{topic}-to-{function}"'
        found.append(Watch(f'{metric}/dead_letter_message_count" AND {of}'))
        # Later than the longest pause between two attempts, which is no fault.
        over = (10 * MINUTE_S, HOUR_S)
        found.append(Watch(f'{metric}/oldest_unacked_message_age" AND {of}', over, ("ALIGN_MAX",)))
    for topic in KEPT:
        of = f'resource.labels.subscription_id="{plan.prefix}-{topic}-kept"'
        aligners = ("ALIGN_MAX", "ALIGN_MIN", "ALIGN_MEAN", "ALIGN_NEXT_OLDER")
        found.append(Watch(f'{metric}/num_undelivered_messages" AND {of}', aligners=aligners))
    requests = (
        'resource.type="cloud_run_revision" AND metric.type="run.googleapis.com/request_count" AND '
        f'resource.labels.service_name="{plan.prefix}-'
    )
    found.append(Watch(f'{requests}callback" AND metric.labels.response_code_class="5xx"'))
    found.append(Watch(f'{requests}callback" AND metric.labels.response_code="429"'))
    return found


def conditions(plan: Plan, kind: str) -> dict[frozenset[Clause], dict[str, Any]]:
    """Return every condition of a kind, by its parsed filter."""
    return {
        parse_filter(str(found.get("filter"))): found
        for policy in plan.all("monitoring_alert_policy")
        for condition in policy["conditions"] or []
        for found in condition.get(kind) or []
    }


def silent_losses_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: dead letters, waiting and old messages, and callbacks not accepted."""
    if not plan.variable("alert_email"):
        if plan.all("monitoring_alert_policy"):
            yield "alerts without a recipient"
        return
    found = conditions(plan, "condition_threshold")
    for watch in watches(plan):
        condition = found.get(parse_filter(watch.filter), {})
        bound, duration_s = (
            condition.get("threshold_value") or 0,
            seconds(condition.get("duration")),
        )
        window = nested(condition, "aggregations")
        least, most = watch.over
        if condition.get("comparison") != "COMPARISON_GT" or not least <= bound <= most:
            yield f"{watch.filter} raises no alert over {watch.over}: {condition}"
        # A single message raises the alert; an age has to last for some minutes.
        if not (MINUTE_S if most else 0) <= duration_s <= (10 * MINUTE_S if most else 0):
            yield f"{watch.filter} raises an alert after {duration_s} s"
        if window.get("per_series_aligner") not in watch.aligners or not _is_window(window, HOUR_S):
            yield f"{watch.filter} is measured by {window}"


def _is_window(window: dict[str, Any], most_s: float) -> bool:
    """Whether a period is what the API takes, a multiple of a minute, and not too long."""
    period_s = seconds(window.get("alignment_period"))
    return MINUTE_S <= period_s <= most_s and period_s % MINUTE_S == 0


def a_silent_sweep_raises_an_alert(plan: Plan) -> Iterator[str]:
    """With alert_email: no success for some hours, of any revision; or a call that failed."""
    if not plan.variable("alert_email"):
        return
    succeeded = parse_filter(
        'resource.type="cloud_run_revision" AND metric.type="run.googleapis.com/request_count" AND '
        f'resource.labels.service_name="{plan.prefix}-sweep" AND '
        'metric.labels.response_code_class="2xx"'
    )
    condition = conditions(plan, "condition_absent").get(succeeded, {})
    window = nested(condition, "aggregations")
    # sweep_schedule may fire once an hour only, so an hour without a run is no fault.
    if not 2 * HOUR_S <= seconds(condition.get("duration")) <= 12 * HOUR_S:
        yield f"an absent sweep raises an alert after {condition.get('duration')}"
    if window.get("per_series_aligner") not in ("ALIGN_SUM", "ALIGN_DELTA", "ALIGN_RATE"):
        yield f"an absent sweep is measured by {window}"
    if not _is_window(window, 2 * HOUR_S):
        yield f"an absent sweep is measured over {window.get('alignment_period')}"
    # Without this each revision is a series, and every replaced one would be absent.
    if window.get("cross_series_reducer") != "REDUCE_SUM" or {
        str(name).replace(".labels.", ".label.") for name in window.get("group_by_fields") or []
    } - {"resource.label.service_name"}:
        yield f"every revision of sweep is watched by itself: {window}"
    # A metric that was never measured is not absent; the scheduler's own log reports that.
    failed = parse_filter(
        'resource.type="cloud_scheduler_job" AND severity>=ERROR AND '
        f'resource.labels.job_id="{plan.prefix}-sweep"'
    )
    if failed not in conditions(plan, "condition_matched_log"):
        yield "a sweep that never ran raises no alert"


def errors_of_the_code_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: what any function logs as an error; mails about a log are limited."""
    if not plan.variable("alert_email"):
        return
    services = " OR ".join(f'"{plan.prefix}-{name}"' for name in sorted(FUNCTIONS))
    errors = parse_filter(
        f'resource.type="cloud_run_revision" AND resource.labels.service_name=({services}) AND '
        "severity>=ERROR AND jsonPayload.function:*"
    )
    if errors not in conditions(plan, "condition_matched_log"):
        yield f"errors of the code raise no alert: {services}"
    for policy in plan.all("monitoring_alert_policy"):
        period_s = seconds(policy.block("alert_strategy", "notification_rate_limit").get("period"))
        of_log = bool(policy.block("conditions").get("condition_matched_log"))
        # The API requires the limit for log conditions, and refuses it for all others.
        if not (5 * MINUTE_S <= period_s <= 6 * HOUR_S if of_log else period_s == 0):
            yield f"{policy['display_name']} notifies every {period_s} s"


def alerts_reach_the_address(plan: Plan) -> Iterator[str]:
    """With alert_email: every alert has one condition, says what to do, and is mailed there."""
    address = plan.variable("alert_email")
    channels = [(c["type"], c["labels"]) for c in plan.all("monitoring_notification_channel")]
    if channels != ([("email", {"email_address": address})] if address else []):
        yield f"alerts go to {channels}"
    for address_, body in plan.source.resources.items():
        channel = "google_monitoring_notification_channel.email"
        of_alert = address_.startswith("google_monitoring_alert_policy.")
        if of_alert and channel not in str(body.get("notification_channels")):
            yield f"{address_} notifies nobody"
    for policy in plan.all("monitoring_alert_policy"):
        found = [block for c in policy["conditions"] or [] for kind in KINDS for block in c[kind]]
        if len(found) != 1:
            yield f"{policy['display_name']} has {len(found)} conditions"
        if number(len(str(policy.block("documentation").get("content") or ""))) < 10:
            yield f"{policy['display_name']} does not say what to do"


POLICIES: Final[tuple[Policy, ...]] = (
    silent_losses_raise_alerts,
    a_silent_sweep_raises_an_alert,
    errors_of_the_code_raise_alerts,
    alerts_reach_the_address,
)

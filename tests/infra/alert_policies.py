"""Policies on metrics, service levels, alerts and the dashboard: what is watched, and who is told.

The events, codes and fields in their filters are compared with ``transcripts.log_events``, and each
alert with its section of docs/operations.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.infra.filters import Clause, parse_filter
from tests.infra.messaging_policies import HOUR_S, KEPT, PUSHES
from tests.infra.plan import Plan, Policy, Unreadable, nested, number, seconds
from transcripts.log_events import EVENTS
from transcripts.mavi.answers import Refusal
from transcripts.settings import FUNCTIONS

MINUTE_S: Final = 60
KINDS: Final = (
    *("condition_threshold", "condition_absent", "condition_matched_log"),
    "condition_prometheus_query_language",
)
RUNBOOKS: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "operations.md"


def lines(plan: Plan) -> str:
    """Return the filter of every log line of the code."""
    services = " OR ".join(f'"{plan.prefix}-{name}"' for name in FUNCTIONS)
    return (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name=({services})'
        " AND jsonPayload.function:*"
    )


def requests(plan: Plan, function: str, answer: str) -> str:
    """Return the filter of the requests to a function that got an answer."""
    return (
        'resource.type="cloud_run_revision" AND metric.type="run.googleapis.com/request_count" AND '
        f'resource.labels.service_name="{plan.prefix}-{function}" AND metric.labels.{answer}'
    )


NOT_TAKEN: Final = 'response_code=monitoring.regex.full_match("5..|429")'


# Metrics from log lines ---------------------------------------------------------------------------

MEASURED: Final = {"result-delay": "delay_s", "media-seconds": "duration_s"}


def log_metrics_count_the_lines_of_the_code(plan: Plan) -> Iterator[str]:
    """One metric counts every event; the others measure a field of a stored result."""
    found = {metric["name"]: metric for metric in plan.all("logging_metric")}
    if set(found) != {f"{plan.prefix}-{name}" for name in ("events", *MEASURED)}:
        yield f"metrics: {sorted(found)}"
        return
    events = found[f"{plan.prefix}-events"]
    if parse_filter(events["filter"]) != parse_filter(lines(plan)):
        yield f"events are {events['filter']}"
    extractors = {"event": "message", "code": "code", "status": "status"}
    if events["label_extractors"] != {
        label: f"EXTRACT(jsonPayload.{field})" for label, field in extractors.items()
    }:
        yield f"labels are {events['label_extractors']}"
    labels = events.block("metric_descriptor").get("labels") or []
    if {(each["key"], each["value_type"]) for each in labels} != {
        (label, "STRING") for label in extractors
    }:
        yield f"labels are declared as {labels}"
    for name, metric in found.items():
        of_events = metric is events
        described = metric.block("metric_descriptor")
        kind = ("DELTA", "INT64", "1") if of_events else ("DELTA", "DISTRIBUTION", "s")
        if tuple(described.get(key) for key in ("metric_kind", "value_type", "unit")) != kind:
            yield f"{name} is {described}"
        if of_events:
            continue
        if parse_filter(metric["filter"]) != parse_filter(
            f'{lines(plan)} AND jsonPayload.message="result_stored"'
        ):
            yield f"{name} measures {metric['filter']}"
        field = MEASURED[name.removeprefix(f"{plan.prefix}-")]
        if metric["value_extractor"] != f"EXTRACT(jsonPayload.{field})" or (
            field not in EVENTS["result_stored"].fields
        ):
            yield f"{name} measures {metric['value_extractor']}"
        bounds = metric.block("bucket_options", "explicit_buckets").get("bounds") or []
        # The percentile of a chart is as exact as the buckets are narrow.
        known = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400]
        if [number(bound) for bound in bounds] != known:
            yield f"{name} has the bounds {bounds}"


# Service levels -----------------------------------------------------------------------------------

GOALS: Final = {"callbacks": 0.999, "results": 0.99}


def service_levels_are_the_promised_ones(plan: Plan) -> Iterator[str]:
    """99.9 % of callbacks are taken; 99 % of results are stored within a minute."""
    service = plan.one("monitoring_custom_service")["service_id"]
    if service != f"{plan.prefix}-pipeline":
        yield f"the service is {service}"
    levels = {level.key: level for level in plan.all("monitoring_slo")}
    if set(levels) != set(GOALS):
        raise Unreadable(f"service levels: {sorted(levels)}")
    for name, level in levels.items():
        facts = (level["goal"], level["rolling_period_days"], level["slo_id"], level["service"])
        if facts != (GOALS[name], 28, f"{plan.prefix}-{name}", service):
            yield f"{name}: {facts}"
    ratio = levels["callbacks"].block("request_based_sli", "good_total_ratio")
    good = parse_filter(str(ratio.get("good_service_filter")))
    if good != parse_filter(requests(plan, "callback", 'response_code_class="2xx"')):
        yield f"good callbacks are {good}"
    bad = parse_filter(str(ratio.get("bad_service_filter")))
    if bad != parse_filter(requests(plan, "callback", NOT_TAKEN)):
        yield f"bad callbacks are {bad}"
    cut = levels["results"].block("request_based_sli", "distribution_cut")
    if parse_filter(str(cut.get("distribution_filter"))) != parse_filter(
        'resource.type="cloud_run_revision" AND '
        f'metric.type="logging.googleapis.com/user/{plan.prefix}-result-delay"'
    ):
        yield f"delays are {cut}"
    if nested(cut, "range").get("max") != MINUTE_S or nested(cut, "range").get("min"):
        yield f"a result in time is one within {cut}"


# Alerts -------------------------------------------------------------------------------------------


class Watch(NamedTuple):
    """A metric that has to be watched, and the bounds of the condition that watches it."""

    filter: str
    over: tuple[float, float] = (0, 0)
    aligners: tuple[str, ...] = ("ALIGN_SUM", "ALIGN_DELTA")
    reducer: str | None = None


def watches(plan: Plan) -> list[Watch]:
    """Return every metric that a message, a result or a purchase depends on."""
    metric = (
        'resource.type="pubsub_subscription" AND metric.type="pubsub.googleapis.com/subscription'
    )
    pushed = [f"{plan.prefix}-{topic}-to-{function}" for topic, (function, _) in PUSHES.items()]
    kept = [f"{plan.prefix}-{topic}-kept" for topic in KEPT]

    def named(ids: list[str]) -> str:
        return " OR ".join(f'resource.labels.subscription_id="{each}"' for each in ids)

    return [
        Watch(requests(plan, "callback", NOT_TAKEN)),
        Watch(requests(plan, "callback", 'response_code="404"'), (10, 1000), reducer="REDUCE_SUM"),
        Watch(
            f'{metric}/num_undelivered_messages" AND ({named(kept)})',
            aligners=("ALIGN_MAX", "ALIGN_MIN", "ALIGN_MEAN", "ALIGN_NEXT_OLDER"),
        ),
        # Later than the longest pause between two attempts, which is no fault.
        Watch(
            f'{metric}/oldest_unacked_message_age" AND ({named(pushed)})',
            (10 * MINUTE_S, HOUR_S),
            ("ALIGN_MAX",),
        ),
    ]


BURNS: Final = {"1h": 14.4, "24h": 3}
"""https://sre.google/workbook/alerting-on-slos/"""


def conditions(plan: Plan, kind: str) -> list[dict[str, Any]]:
    """Return every condition of a kind."""
    return [
        found
        for policy in plan.all("monitoring_alert_policy")
        for condition in policy["conditions"] or []
        for found in condition.get(kind) or []
    ]


def by_filter(plan: Plan, kind: str) -> dict[frozenset[Clause], dict[str, Any]]:
    """Return every condition of a kind, by its parsed filter."""
    return {parse_filter(str(found.get("filter"))): found for found in conditions(plan, kind)}


def silent_losses_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: callbacks not taken, strangers, and kept or old messages."""
    if not plan.variable("alert_email"):
        if plan.all("monitoring_alert_policy"):
            yield "alerts without a recipient"
        return
    found = by_filter(plan, "condition_threshold")
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
        lasts = "ALIGN_MAX" in watch.aligners and most > 0
        if not (MINUTE_S if lasts else 0) <= duration_s <= (10 * MINUTE_S if lasts else 0):
            yield f"{watch.filter} raises an alert after {duration_s} s"
        if window.get("per_series_aligner") not in watch.aligners or not _is_window(window, HOUR_S):
            yield f"{watch.filter} is measured by {window}"
        if window.get("cross_series_reducer") != watch.reducer:
            yield f"{watch.filter} is summed by {window}"


def burning_levels_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: each service level that is used up too fast, in an hour or in a day."""
    if not plan.variable("alert_email"):
        return
    service = f"projects/{plan.project}/services/{plan.prefix}-pipeline/serviceLevelObjectives"
    wanted = {
        (f'select_slo_burn_rate("{service}/{plan.prefix}-{name}", "{hours}")', rate)
        for name in GOALS
        for hours, rate in BURNS.items()
    }
    found = {
        (found["filter"], found["threshold_value"])
        for found in conditions(plan, "condition_threshold")
        if str(found.get("filter")).startswith("select_slo_burn_rate")
        and found["comparison"] == "COMPARISON_GT"
        and found["duration"] == "0s"
        and not found["aggregations"]
    }
    if found != wanted:
        yield f"burn rates: {sorted(found ^ wanted)}"


def _is_window(window: dict[str, Any], most_s: float) -> bool:
    """Whether a period is what the API takes, a multiple of a minute, and not too long."""
    period_s = seconds(window.get("alignment_period"))
    return MINUTE_S <= period_s <= most_s and period_s % MINUTE_S == 0


def a_silent_sweep_raises_an_alert(plan: Plan) -> Iterator[str]:
    """With alert_email: no success for some hours, of any revision; or a call that failed."""
    if not plan.variable("alert_email"):
        return
    succeeded = parse_filter(requests(plan, "sweep", 'response_code_class="2xx"'))
    condition = by_filter(plan, "condition_absent").get(succeeded, {})
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
    if failed not in by_filter(plan, "condition_matched_log"):
        yield "a sweep that never ran raises no alert"


def lines_of_the_code_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: errors, refusals of Mavi, purchases without a result; mails are limited."""
    if not plan.variable("alert_email"):
        return
    found = by_filter(plan, "condition_matched_log")
    refusals = " OR ".join(f'"{code}"' for code in Refusal if code is not Refusal.ERROR)
    for more in (
        'severity>=ERROR AND jsonPayload.message!="answer_lost"',
        'jsonPayload.message=("task_overdue" OR "answer_lost")',
        f'jsonPayload.message="rejected" AND jsonPayload.code=({refusals})',
    ):
        if parse_filter(f"{lines(plan)} AND {more}") not in found:
            yield f"{more} raises no alert"
    for policy in plan.all("monitoring_alert_policy"):
        period_s = seconds(policy.block("alert_strategy", "notification_rate_limit").get("period"))
        of_log = bool(policy.block("conditions").get("condition_matched_log"))
        # The API requires the limit for log conditions, and refuses it for all others.
        if not (5 * MINUTE_S <= period_s <= 6 * HOUR_S if of_log else period_s == 0):
            yield f"{policy['display_name']} notifies every {period_s} s"


_SELECTOR: Final = re.compile(r"increase\((\w+:\w+)\{([^}]*)\}\[(\w+)\]\)")


def selectors(query: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the metric, the labels and the window of each selector of a PromQL query."""
    return [
        (metric, dict(re.findall(r'(\w+=~?)"([^"]*)"', labels)), window)
        for metric, labels, window in _SELECTOR.findall(query)
    ]


def queries_raise_alerts(plan: Plan) -> Iterator[str]:
    """With alert_email: callbacks without results, and with a cap, a day near it."""
    if not plan.variable("alert_email"):
        return
    metric = f"logging_googleapis_com:user_{plan.prefix.replace('-', '_')}_events"
    of = f'{metric}{{monitored_resource="cloud_run_revision",event'
    cap = plan.variable("max_submissions_per_day")
    wanted = {
        f'sum(increase({of}="callback_published"}}[30m])) > 0 unless '
        f'sum(increase({of}=~"result_.*"}}[30m])) > 0': (10 * MINUTE_S, HOUR_S)
    }
    if cap:
        wanted[f'sum(increase({of}="submitted"}}[1d])) > {int(cap * 0.8)}'] = (0, 0)
    found = {each["query"]: each for each in conditions(plan, KINDS[3])}
    if set(found) != set(wanted):
        yield f"queries: {sorted(set(found) ^ set(wanted))}"
        return
    for query, condition in found.items():
        least, most = wanted[query]
        if not least <= seconds(condition["duration"]) <= most:
            yield f"{query} raises an alert after {condition['duration']}"
        if not MINUTE_S <= seconds(condition["evaluation_interval"]) <= 10 * MINUTE_S:
            yield f"{query} is evaluated every {condition['evaluation_interval']}"
        # Terraform makes the metric of a log, and its alert, in one apply.
        if condition["disable_metric_validation"] is not True:
            yield f"{query} is refused by the first apply"


def alerts_reach_the_address(plan: Plan) -> Iterator[str]:
    """With alert_email: each alert has one condition, a severity and a runbook, and is mailed."""
    address = plan.variable("alert_email")
    channels = [(c["type"], c["labels"]) for c in plan.all("monitoring_notification_channel")]
    if channels != ([("email", {"email_address": address})] if address else []):
        yield f"alerts go to {channels}"
    for address_, body in plan.source.resources.items():
        channel = "google_monitoring_notification_channel.email"
        of_alert = address_.startswith("google_monitoring_alert_policy.")
        if of_alert and channel not in str(body.get("notification_channels")):
            yield f"{address_} notifies nobody"
    headings = re.findall(r"^## (.+)$", RUNBOOKS.read_text(), re.MULTILINE)
    url = plan.variable("docs_url")
    for policy in plan.all("monitoring_alert_policy"):
        found = [block for c in policy["conditions"] or [] for kind in KINDS for block in c[kind]]
        if len(found) != 1:
            yield f"{policy['display_name']} has {len(found)} conditions"
        if policy["severity"] not in ("CRITICAL", "ERROR", "WARNING"):
            yield f"{policy['display_name']} has the severity {policy['severity']}"
        heading = policy.key.partition(":")[0]
        advice, _, runbook = str(policy.block("documentation").get("content")).partition("\n\n")
        section = f"operations.md#{heading.lower().replace(' ', '-')}"
        if runbook != f"Runbook: docs/{section}" or len(advice) < 10:
            yield f"{policy['display_name']} does not say what to do"
        links = [link["url"] for link in policy.block("documentation").get("links") or []]
        if links != ([f"{url}/{section}"] if url else []):
            yield f"{policy['display_name']} links to {links}"
        if heading not in headings:
            yield f"docs/operations.md has no section {heading}"


# The dashboard ------------------------------------------------------------------------------------

SERIES: Final = {
    "run.googleapis.com/request_count": "ALIGN_SUM",
    "cloudtasks.googleapis.com/queue/depth": "ALIGN_MAX",
    "cloudtasks.googleapis.com/queue/task_attempt_delays": "ALIGN_PERCENTILE_99",
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": "ALIGN_MAX",
    "pubsub.googleapis.com/subscription/num_undelivered_messages": "ALIGN_MAX",
    "events": "ALIGN_SUM",
    "result-delay": "ALIGN_PERCENTILE_99",
}
"""Every charted metric, with how its series are measured."""


def dashboard_shows_every_metric(plan: Plan) -> Iterator[str]:
    """Each metric has a chart; the events in its filters are those that the code logs."""
    try:
        dashboard = json.loads(plan.one("monitoring_dashboard")["dashboard_json"])
    except ValueError as error:
        raise Unreadable("the dashboard is no JSON") from error
    user = f"logging.googleapis.com/user/{plan.prefix}-"
    charted = set()
    for widget in dashboard["gridLayout"]["widgets"]:
        if "xyChart" not in widget:
            continue
        (series,) = widget["xyChart"]["dataSets"]
        query = series["timeSeriesQuery"]["timeSeriesFilter"]
        clauses = {name: values for name, _, values in parse_filter(query["filter"])}
        metric = next(iter(clauses["metric.type"])).removeprefix(user)
        charted.add(metric)
        if SERIES.get(metric) != query["aggregation"]["perSeriesAligner"]:
            yield f"{widget['title']}: {metric} is measured by {query['aggregation']}"
        for value in clauses.get("metric.labels.event", ()):
            pattern = re.sub(r'^.*full_match\("(.*)"\)$', r"\1", value)
            for part in pattern.split("|"):
                if not any(re.fullmatch(part, event) for event in EVENTS):
                    yield f"{widget['title']}: no event is {part}"
    if charted != set(SERIES):
        yield f"charted: {sorted(charted ^ set(SERIES))}"
    text = json.dumps(dashboard)
    for part in ("user_" + f"{plan.prefix}-media-seconds_sum".replace("-", "_"), "logsPanel"):
        if part not in text:
            yield f"the dashboard has no {part}"


POLICIES: Final[tuple[Policy, ...]] = (
    log_metrics_count_the_lines_of_the_code,
    service_levels_are_the_promised_ones,
    silent_losses_raise_alerts,
    burning_levels_raise_alerts,
    a_silent_sweep_raises_an_alert,
    lines_of_the_code_raise_alerts,
    queries_raise_alerts,
    alerts_reach_the_address,
    dashboard_shows_every_metric,
)

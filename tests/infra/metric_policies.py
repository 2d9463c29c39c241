"""Policies on what Cloud Monitoring measures: metrics are on Google's list, and used as such."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tests.infra.filters import parse_filter
from tests.infra.plan import Plan, Policy, Unreadable, nested

RESOURCES: Final = {
    "cloud_run_revision": {"service_name", "revision_name", "location", "project_id"},
    "cloud_tasks_queue": {"queue_id", "location", "project_id"},
    "pubsub_subscription": {"subscription_id", "project_id"},
}
"""What is measured, with its labels: https://cloud.google.com/monitoring/api/resources"""


class Metric(NamedTuple):
    """A metric as Google's list describes it."""

    resource: str
    kind: str
    values: str
    unit: str = "1"
    labels: frozenset[str] = frozenset()


METRICS: Final = {
    # https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run
    "run.googleapis.com/request_count": Metric(
        "cloud_run_revision",
        "DELTA",
        "INT64",
        labels=frozenset({"response_code", "response_code_class"}),
    ),
    # https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-pubsub
    "pubsub.googleapis.com/subscription/num_undelivered_messages": Metric(
        "pubsub_subscription", "GAUGE", "INT64"
    ),
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": Metric(
        "pubsub_subscription", "GAUGE", "INT64", "s"
    ),
    # https://cloud.google.com/monitoring/api/metrics_gcp_c#gcp-cloudtasks
    "cloudtasks.googleapis.com/queue/depth": Metric("cloud_tasks_queue", "GAUGE", "INT64"),
    "cloudtasks.googleapis.com/queue/task_attempt_delays": Metric(
        "cloud_tasks_queue", "DELTA", "DISTRIBUTION", "ms"
    ),
}

ALIGNERS: Final = {
    "ALIGN_SUM": {("DELTA", "INT64"), ("GAUGE", "INT64")},
    "ALIGN_MAX": {("DELTA", "INT64"), ("GAUGE", "INT64")},
    "ALIGN_PERCENTILE_99": {("DELTA", "DISTRIBUTION"), ("GAUGE", "DISTRIBUTION")},
}
"""What each aligner takes.

https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Aligner
"""

_UNITS: Final = {"s": re.compile(r"Seconds|, s\b"), "ms": re.compile(r", ms\b")}


def known_metrics(plan: Plan) -> dict[str, Metric]:
    """Return Google's metrics, and those that this configuration makes from log lines."""
    found = dict(METRICS)
    for metric in plan.all("logging_metric"):
        described = metric.block("metric_descriptor")
        found[f"logging.googleapis.com/user/{metric['name']}"] = Metric(
            "cloud_run_revision",
            str(described.get("metric_kind")),
            str(described.get("value_type")),
            str(described.get("unit")),
            frozenset(metric["label_extractors"] or {}),
        )
    return found


class Use(NamedTuple):
    """A filter, with how its series are measured, if they are."""

    where: str
    filter: str
    aggregation: dict[str, Any]


def uses(plan: Plan) -> Iterator[Use]:
    """Yield every filter on metrics: of alerts, service levels and charts."""
    for policy in plan.all("monitoring_alert_policy"):
        for kind in ("condition_threshold", "condition_absent"):
            found = policy.block("conditions", kind)
            if "metric.type" in found.get("filter", ""):
                yield Use(policy.key, found["filter"], nested(found, "aggregations"))
    for level in plan.all("monitoring_slo"):
        for kind in ("good_total_ratio", "distribution_cut"):
            for name, text in level.block("request_based_sli", kind).items():
                if name.endswith("_filter") and text:
                    yield Use(f"{level.key}: {name}", text, {})


def widgets(plan: Plan) -> list[dict[str, Any]]:
    """Return the tiles of the dashboard; raises ``Unreadable``."""
    try:
        dashboard = json.loads(plan.one("monitoring_dashboard")["dashboard_json"])
    except ValueError as error:
        raise Unreadable("the dashboard is no JSON") from error
    found: list[dict[str, Any]] = dashboard["gridLayout"]["widgets"]
    return found


def charts(plan: Plan) -> Iterator[Use]:
    """Yield the filter of every chart of the dashboard."""
    for widget in widgets(plan):
        for series in widget.get("xyChart", {}).get("dataSets", []):
            query = series["timeSeriesQuery"]["timeSeriesFilter"]
            yield Use(widget["title"], query["filter"], query["aggregation"])


def measured_metrics_are_on_the_list(plan: Plan) -> Iterator[str]:
    """Each filter names a known metric, its resource and its labels; the aligner takes it."""
    known = known_metrics(plan)
    for where, text, aggregation in (*uses(plan), *charts(plan)):
        clauses = {name: values for name, _, values in parse_filter(text)}
        (name,) = clauses.get("metric.type", ("none",))
        metric = known.get(name)
        if metric is None:
            yield f"{where}: no metric is {name}"
            continue
        if metric.resource not in clauses.get("resource.type", ()):
            yield f"{where}: {name} is measured of {metric.resource}"
        groups = aggregation.get("groupByFields") or aggregation.get("group_by_fields") or []
        labels = {"metric": metric.labels, "resource": RESOURCES[metric.resource]}
        for field in (*clauses, *groups):
            of, _, label = field.replace(".labels.", ".label.").partition(".label.")
            if label and label not in labels.get(of, ()):
                yield f"{where}: {name} has no label {field}"
        aligner = aggregation.get("perSeriesAligner") or aggregation.get("per_series_aligner")
        if aligner and (metric.kind, metric.values) not in ALIGNERS.get(str(aligner), ()):
            yield f"{where}: {aligner} takes no {metric.kind} of {metric.values}"


def charts_have_a_title_with_their_unit(plan: Plan) -> Iterator[str]:
    """No two have one title. A number without a unit is a count."""
    known = known_metrics(plan)
    titles = [widget.get("title") for widget in widgets(plan)]
    if not all(titles) or len(set(titles)) < len(titles):
        yield f"titles: {titles}"
    for where, text, _ in charts(plan):
        clauses = {name: values for name, _, values in parse_filter(text)}
        (name,) = clauses.get("metric.type", ("none",))
        unit = known[name].unit if name in known else "1"
        named = {each for each, pattern in _UNITS.items() if pattern.search(where)}
        if named != ({unit} & set(_UNITS)):
            yield f"{where}: the unit of {name} is {unit}"


POLICIES: Final[tuple[Policy, ...]] = (
    measured_metrics_are_on_the_list,
    charts_have_a_title_with_their_unit,
)

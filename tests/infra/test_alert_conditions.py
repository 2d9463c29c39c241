"""Each condition of an alert is provoked, and its filter selects the lines that the code logs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest

from tests.builders import callback_body
from tests.fakes import LogLines, Outage
from tests.functional.test_callback import CALLBACKS, CallbackClient
from tests.functional.test_callback import client as callback
from tests.functional.test_subscriber import SubscriberClient, pushed
from tests.functional.test_subscriber import client as subscriber
from tests.infra.alert_policies import KINDS, selectors
from tests.infra.filters import matches
from tests.infra.plan import Plan
from tests.infra.sandbox import plan_of
from tests.pipeline import OVERDUE, REQUEST, Pipeline
from tests.unit.conftest import pipeline
from transcripts.mavi.answers import AnswerLost
from transcripts.submissions.requests import SubmitAsset

__all__ = ["callback", "pipeline", "subscriber"]

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]


@cache
def alert(name: str) -> dict[str, Any]:
    """Return the condition of an alert."""
    plan: Plan = plan_of("distinct")
    (policy,) = (each for each in plan.all("monitoring_alert_policy") if each.key == name)
    (condition,) = (
        found for kind in KINDS for each in policy["conditions"] for found in each.get(kind) or []
    )
    return dict(condition)


def entries(lines: LogLines, function: str) -> list[dict[str, Any]]:
    """Return lines as Cloud Logging keeps them."""
    prefix = plan_of("distinct").prefix
    resource = {"type": "cloud_run_revision", "labels": {"service_name": f"{prefix}-{function}"}}
    return [
        {"resource": resource, "severity": line["severity"], "jsonPayload": line}
        for line in lines.events
    ]


def selected(name: str, lines: LogLines, function: str) -> list[str]:
    """Return the events that an alert's filter selects."""
    text = alert(name)["filter"]
    return [
        entry["jsonPayload"]["message"]
        for entry in entries(lines, function)
        if matches(text, entry)
    ]


def counted(name: str, lines: LogLines, function: str) -> list[int]:
    """Return how many lines each selector of an alert's query counts."""
    (metric,) = (m for m in plan_of("distinct").all("logging_metric") if m.key == "")
    assert metric["label_extractors"]["event"] == "EXTRACT(jsonPayload.message)"
    found = [entry for entry in entries(lines, function) if matches(metric["filter"], entry)]
    counts = []
    for _, labels, _ in selectors(alert(name)["query"]):
        is_wanted = _label_test(labels)
        counts.append(sum(is_wanted(entry["jsonPayload"]["message"]) for entry in found))
    return counts


def _label_test(labels: dict[str, str]) -> Callable[[str], bool]:
    import re

    pattern = labels.get("event=~") or re.escape(labels["event="])
    return lambda event: re.fullmatch(pattern, event) is not None


async def test_overdue_task_is_selected(pipeline: Pipeline) -> None:
    """It is no error: the result may still come."""
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper().run()
    assert selected("Overdue or unknown", pipeline.lines, "sweep") == ["task_overdue"]
    assert selected("Error in the log", pipeline.lines, "sweep") == []


async def test_lost_answer_is_selected_once(pipeline: Pipeline) -> None:
    """One alert is sent for it, though it is an error."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    await pipeline.refused()
    assert selected("Overdue or unknown", pipeline.lines, "submit") == ["answer_lost"]
    assert selected("Error in the log", pipeline.lines, "submit") == []


async def test_callback_that_is_not_published_is_selected(callback: CallbackClient) -> None:
    """The log says why, and the answer counts as a failed callback."""
    callback.publisher.down = True
    answer = await callback.post(callback_body())
    assert selected("Error in the log", callback.lines, "callback") == ["callback_not_published"]
    assert answered("Callback failed", answer.status_code)
    assert not answered("Callback failed", 200)


async def test_wrong_token_counts_as_refused(callback: CallbackClient) -> None:
    """It is no failed callback: a stranger can't raise that alert."""
    answer = await callback.post(callback_body(), "/wrong")
    assert answered("Refused tokens", answer.status_code)
    assert not answered("Callback failed", answer.status_code)
    assert callback.lines.events == []


def answered(name: str, status: int) -> bool:
    """Tell whether an alert's filter selects requests that were answered so."""
    prefix = plan_of("distinct").prefix
    series = {
        "resource": {
            "type": "cloud_run_revision",
            "labels": {"service_name": f"{prefix}-callback"},
        },
        "metric": {
            "type": "run.googleapis.com/request_count",
            "labels": {"response_code": str(status)},
        },
    }
    return matches(alert(name)["filter"], series)


async def test_callbacks_without_results_are_silent_results(
    callback: CallbackClient, subscriber: SubscriberClient
) -> None:
    """The query counts what callback has published, and what subscriber has not stored."""
    await callback.post(callback_body())
    assert callback.publisher.on(CALLBACKS)
    assert counted("Results silent", callback.lines, "callback") == [1, 0]
    subscriber.documents.before = Outage(times=1_000)
    await subscriber.push(pushed(callback_body()))
    assert counted("Results silent", subscriber.lines, "subscriber") == [0, 0]
    subscriber.documents.before = lambda _: None
    await subscriber.push(pushed(callback_body()))
    assert counted("Results silent", subscriber.lines, "subscriber") == [0, 1]


async def test_purchases_count_towards_the_cap(pipeline: Pipeline) -> None:
    """A duplicate costs nothing, and counts for nothing."""
    for asset_id in ("re_1", "re_1", "re_2"):
        await pipeline.service.submit(SubmitAsset(asset_id, {}))
    assert counted("Spend near the cap", pipeline.lines, "submit") == [2]


async def test_stored_result_has_the_measured_fields(subscriber: SubscriberClient) -> None:
    """They are seconds, and a duplicate is not measured again."""
    for _ in range(2):
        await subscriber.push(pushed(callback_body()))
    metrics = [m for m in plan_of("distinct").all("logging_metric") if m.key]
    fields: Final = {"EXTRACT(jsonPayload.delay_s)", "EXTRACT(jsonPayload.duration_s)"}
    assert {metric["value_extractor"] for metric in metrics} == fields
    for metric in metrics:
        found = [e for e in entries(subscriber.lines, "subscriber") if matches(metric["filter"], e)]
        field = metric["value_extractor"][len("EXTRACT(jsonPayload.") : -1]
        (value,) = (entry["jsonPayload"][field] for entry in found)
        assert isinstance(value, float)

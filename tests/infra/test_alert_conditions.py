"""Each condition of an alert is provoked, and its filter selects the lines that the code logs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final

import pytest

from tests.builders import TASK_ID, callback_body, push_body
from tests.fakes import NOW, LogLines, Outage
from tests.functional.test_callback import CALLBACKS, REJECTED, CallbackClient
from tests.functional.test_callback import client as callback
from tests.functional.test_subscriber import SubscriberClient, pushed
from tests.functional.test_subscriber import client as subscriber
from tests.functional.test_sweep import SweepClient
from tests.functional.test_sweep import client as sweep
from tests.infra.alert_policies import KINDS, selectors
from tests.infra.filters import matches
from tests.infra.messaging_policies import KEPT
from tests.infra.plan import Plan
from tests.infra.sandbox import plan_of
from tests.pipeline import OVERDUE, REQUEST, Pipeline
from tests.unit.conftest import pipeline
from transcripts.callbacks.message import pack
from transcripts.mavi.answers import AnswerLost, Refusal, Refused
from transcripts.submissions.requests import SubmitAsset

__all__ = ["callback", "pipeline", "subscriber", "sweep"]

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


@pytest.mark.parametrize("refusal", Refusal)
async def test_refused_account_is_selected(pipeline: Pipeline, refusal: Refusal) -> None:
    """Key, credit and URL concern every submission; any other refusal concerns one."""
    pipeline.provider.answers = [Refused(refusal, 400)]
    await pipeline.refused()
    of_account = refusal is not Refusal.ERROR
    assert selected("Mavi refuses", pipeline.lines, "submit") == ["rejected"] * of_account
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


def answered(name: str, status: int, function: str = "callback") -> bool:
    """Tell whether an alert's filter selects requests that were answered so."""
    return matches(alert(name)["filter"], requests(status, function))


def requests(status: int, function: str) -> dict[str, Any]:
    """Return the time series in which Cloud Run counts a request that was answered so."""
    labels = {"response_code": str(status), "response_code_class": f"{status // 100}xx"}
    prefix = plan_of("distinct").prefix
    return {
        "resource": {
            "type": "cloud_run_revision",
            "labels": {"service_name": f"{prefix}-{function}"},
        },
        "metric": {"type": "run.googleapis.com/request_count", "labels": labels},
    }


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


# Messages -----------------------------------------------------------------------------------------

ACKNOWLEDGE: Final = {102, 200, 201, 202, 204}
"""Every other answer leaves a message waiting: https://cloud.google.com/pubsub/docs/push"""


def subscriptions(name: str, metric: str) -> dict[str, str]:
    """Return the subscriptions, without the prefix, that an alert watches, with their topics."""
    plan = plan_of("distinct")
    return {
        str(each["name"]).removeprefix(f"{plan.prefix}-"): each["topic"]
        for each in plan.all("pubsub_subscription")
        if matches(
            alert(name)["filter"],
            {
                "resource": {
                    "type": "pubsub_subscription",
                    "labels": {"subscription_id": each["name"]},
                },
                "metric": {"type": f"pubsub.googleapis.com/subscription/{metric}"},
            },
        )
    }


async def test_message_that_cannot_be_stored_waits(subscriber: SubscriberClient) -> None:
    """The age of its subscription grows, and the log says why, as the runbook promises."""
    subscriber.documents.before = Outage(times=1_000)
    answer = await subscriber.push(pushed(callback_body()))
    assert answer.status_code not in ACKNOWLEDGE
    assert [event["message"] for event in subscriber.lines.events] == ["transient_error"]
    watched = subscriptions("Messages wait", "oldest_unacked_message_age")
    assert set(watched) == {"callbacks-to-subscriber", "uploads-to-ingest"}
    assert selected("Error in the log", subscriber.lines, "subscriber") == []


async def test_message_that_is_no_callback_becomes_a_dead_letter(
    subscriber: SubscriberClient, callback: CallbackClient
) -> None:
    """One on the topic is dead, one that Mavi's URL got is rejected: both are kept and watched."""
    kept = subscriptions("Dead letters", "num_undelivered_messages")
    assert set(kept) == {f"{topic}-kept" for topic in KEPT}
    answer = await subscriber.push(push_body(b"no callback", {}))
    assert answer.status_code not in ACKNOWLEDGE
    assert selected("Error in the log", subscriber.lines, "subscriber") == ["callback_poisoned"]
    answer = await callback.post(b"no callback")
    assert callback.publisher.on(REJECTED)
    topic = plan_of("distinct").environment("callback")["REJECTED_TOPIC"]
    assert kept["callbacks-rejected-kept"] == topic
    assert not answered("Callback failed", answer.status_code)
    assert selected("Error in the log", callback.lines, "callback") == []


# The sweep ----------------------------------------------------------------------------------------


async def test_sweep_without_a_store_counts_as_absent(sweep: SweepClient) -> None:
    """Only a run that has succeeded ends the silence."""
    sweep.pipeline.documents.before = Outage(times=10**6)
    failed = await sweep.call()
    assert not answered("Sweep silent", failed.status_code, "sweep")
    sweep.pipeline.documents.before = lambda _: None
    succeeded = await sweep.call()
    assert answered("Sweep silent", succeeded.status_code, "sweep")
    assert not answered("Sweep silent", succeeded.status_code, "results")
    assert selected("Error in the log", sweep.pipeline.lines, "sweep") == []


@pytest.mark.parametrize(
    ("severity", "status", "is_failure"), [("INFO", None, False), ("ERROR", "UNAVAILABLE", True)]
)
def test_failed_call_of_the_scheduler_is_selected(
    severity: str, status: str | None, *, is_failure: bool
) -> None:
    """An attempt that succeeded is logged too, and that of another job."""

    def entry(job: str) -> dict[str, Any]:
        finished = "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished"
        return {
            "resource": {"type": "cloud_scheduler_job", "labels": {"job_id": job}},
            "severity": severity,
            "jsonPayload": {"@type": finished, "targetType": "HTTP", "status": status},
        }

    name = f"{plan_of('distinct').prefix}-sweep"
    assert matches(alert("Sweep failed")["filter"], entry(name)) is is_failure
    assert not matches(alert("Sweep failed")["filter"], entry("another"))


# Service levels -----------------------------------------------------------------------------------


def level(name: str) -> tuple[float, dict[str, Any]]:
    """Return the goal of a service level, and how it tells good from bad."""
    (found,) = (each for each in plan_of("distinct").all("monitoring_slo") if each.key == name)
    return found["goal"], found.block("request_based_sli")


def burning(name: str, good: int, bad: int) -> set[str]:
    """Return the alerts that a share of bad events raises, if it lasts as long as they look.

    The rate is the share of errors by the allowed share:
    https://cloud.google.com/stackdriver/docs/solutions/slo-monitoring/alerting-on-budget-burn-rate
    """
    goal, _ = level(name)
    rate = bad / (good + bad) / (1 - goal)
    return {
        burn
        for burn in ("fast", "slow")
        if rate > alert(f"Service level: {name} {burn}")["threshold_value"]
    }


async def test_callbacks_that_are_not_taken_burn_their_service_level(
    callback: CallbackClient,
) -> None:
    """15 of 1,000 are too many for an hour, 4 for a day; strangers count for nothing."""
    taken = await callback.post(callback_body())
    stranger = await callback.post(callback_body(), "/wrong")
    callback.publisher.down = True
    failed = await callback.post(callback_body())
    (ratio,) = level("callbacks")[1]["good_total_ratio"]
    counted = {
        side: [
            answer.status_code
            for answer in (taken, stranger, failed)
            if matches(ratio[side], requests(answer.status_code, "callback"))
        ]
        for side in ("good_service_filter", "bad_service_filter")
    }
    assert counted == {"good_service_filter": [200], "bad_service_filter": [503]}
    assert burning("callbacks", 985, 15) == {"fast", "slow"}
    assert burning("callbacks", 996, 4) == {"slow"}
    assert burning("callbacks", 998, 2) == set()


async def test_late_results_burn_their_service_level(subscriber: SubscriberClient) -> None:
    """A result that is stored more than a minute after its callback is late."""
    for index, age_s in enumerate((1, 61)):
        task_id = f"{TASK_ID}{index}"
        message = pack(
            callback_body(task_id=task_id),
            NOW - timedelta(seconds=age_s),
            {"task_id": task_id, "kind": "multi_speaker"},
        )
        await subscriber.push(push_body(message.data, message.attributes))
    (cut,) = level("results")[1]["distribution_cut"]
    (span,) = cut["range"]
    delays = [event["delay_s"] for event in subscriber.lines.named("result_stored")]
    assert [delay_s for delay_s in delays if delay_s >= span["max"]] == [61]
    assert burning("results", 85, 15) == {"fast", "slow"}
    assert burning("results", 96, 4) == {"slow"}
    assert burning("results", 98, 2) == set()

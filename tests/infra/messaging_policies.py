"""Policies on topics, subscriptions, the queue, the schedule and the request log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.infra.filters import parse_filter
from tests.infra.plan import DAY_S, Plan, Policy, Resource, number, seconds
from transcripts.google.queue import DISPATCH_DEADLINE_S

PUSHES: Final = {
    "callbacks": ("subscriber", "callbacks-dead"),
    "uploads": ("ingest", "uploads-dead"),
}
KEPT: Final = ("callbacks-dead", "callbacks-rejected", "uploads-dead")
HOUR_S: Final = 60 * 60


def pushing(plan: Plan) -> dict[str, Resource]:
    """Return the subscriptions that push, by their topic."""
    return {item["topic"]: item for item in plan.all("pubsub_subscription") if item["push_config"]}


def keeping(plan: Plan) -> dict[str, Resource]:
    """Return the subscriptions that only keep messages, by their topic."""
    found = plan.all("pubsub_subscription")
    return {item["topic"]: item for item in found if not item["push_config"]}


def topics_keep_messages_for_replay(plan: Plan) -> Iterator[str]:
    """There are six topics; those that are pushed keep every message for replay_days."""
    found = {resource["name"]: resource for resource in plan.all("pubsub_topic")}
    if set(found) != {f"{plan.prefix}-{name}" for name in (*PUSHES, *KEPT, "results")}:
        yield f"topics: {sorted(found)}"
    for name in PUSHES:
        topic = found.get(f"{plan.prefix}-{name}")
        kept_s = seconds(topic["message_retention_duration"]) if topic else 0
        if kept_s != plan.variable("replay_days") * DAY_S:
            yield f"{name} keeps messages for {kept_s} s"


def pushes_reach_their_function(plan: Plan) -> Iterator[str]:
    """Callbacks go to subscriber and uploads to ingest, with a token of the calling identity."""
    found = pushing(plan)
    if set(found) != {plan.topic(name) for name in PUSHES}:
        yield f"pushed: {sorted(found)}"
    for name, (function, _) in PUSHES.items():
        push = found[plan.topic(name)].block("push_config") if plan.topic(name) in found else {}
        if push.get("push_endpoint") != plan.url(function):
            yield f"{name} is pushed to {push.get('push_endpoint')}"
        token = (push.get("oidc_token") or [{}])[0]
        if token.get("service_account_email") != plan.account(f"to-{function}"):
            yield f"{name} is pushed as {token.get('service_account_email')}"
        if token.get("audience") != plan.url(function):
            yield f"the token of {name} is for {token.get('audience')}"


def pushes_end_in_dead_letters(plan: Plan) -> Iterator[str]:
    """Every push has dead letters that Pub/Sub's agent may write, and a back-off before them."""
    agent = plan.agent("gcp-sa-pubsub")
    agents = {(g.role, g.target) for g in plan.grants if g.member == agent}
    for name, (_, dead) in PUSHES.items():
        subscription = pushing(plan).get(plan.topic(name))
        if subscription is None:
            continue
        policy = subscription.block("dead_letter_policy")
        if policy.get("dead_letter_topic") != plan.topic(dead):
            yield f"dead letters of {name} go to {policy.get('dead_letter_topic')}"
        if policy.get("max_delivery_attempts") != plan.variable("max_delivery_attempts"):
            yield f"{name} has {policy.get('max_delivery_attempts')} attempts"
        back_off = subscription.block("retry_policy")
        first_s = seconds(back_off.get("minimum_backoff"))
        last_s = seconds(back_off.get("maximum_backoff"))
        # Shorter pauses use up the default of 20 attempts within an hour; 600 s is the API's most.
        if not 5 <= first_s <= 60 or not 300 <= last_s <= 600:
            yield f"{name} is retried after {first_s} to {last_s} s"
        if ("roles/pubsub.publisher", f"{plan.prefix}-{dead}") not in agents:
            yield f"Pub/Sub may not publish to {dead}"
        if ("roles/pubsub.subscriber", subscription["name"]) not in agents:
            yield f"Pub/Sub may not acknowledge on {subscription['name']}"


def deadlines_are_longer_than_work(plan: Plan) -> Iterator[str]:
    """No message or task is sent again while a function still works on it."""
    longest_s = 0.0
    for name, (function, _) in PUSHES.items():
        subscription = pushing(plan).get(plan.topic(name))
        timeout_s = number(plan.service(function).get("timeout_seconds"))
        longest_s = max(longest_s, timeout_s)
        if subscription and not timeout_s < number(subscription["ack_deadline_seconds"]) <= 600:
            yield f"{function} may take {timeout_s} s, {name} is sent again before"
    # An operator may push what was kept: docs/deploy.md, Dead letters.
    for topic, subscription in keeping(plan).items():
        if not longest_s <= number(subscription["ack_deadline_seconds"]) <= 600:
            yield f"{topic} is sent again before {longest_s} s, or too late"
    if number(plan.service("submit").get("timeout_seconds")) < DISPATCH_DEADLINE_S:
        yield "submit is stopped before the queue stops waiting"
    timeout_s = number(plan.service("sweep").get("timeout_seconds"))
    # 15 s to 30 min is what Cloud Scheduler takes:
    # https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
    deadline_s = seconds(plan.one("cloud_scheduler_job")["attempt_deadline"])
    if not max(timeout_s, 15) <= deadline_s <= 1800:
        yield f"the scheduler waits {deadline_s} s for sweep, which may take {timeout_s} s"


def subscriptions_never_expire(plan: Plan) -> Iterator[str]:
    """No subscription expires; dead and rejected messages are kept for 31 days, the most."""
    for subscription in plan.all("pubsub_subscription"):
        if subscription["expiration_policy"] != [{"ttl": ""}]:
            yield f"{subscription.address} expires"
        # A message that is still retried must survive a long weekend without an operator.
        if not 7 <= seconds(subscription["message_retention_duration"]) / DAY_S <= 31:
            yield f"{subscription.address} keeps messages for less than a week, or too long"
    if set(keeping(plan)) != {plan.topic(name) for name in KEPT}:
        yield f"kept: {sorted(keeping(plan))}"
    for topic, subscription in keeping(plan).items():
        if seconds(subscription["message_retention_duration"]) != 31 * DAY_S:
            yield f"{topic} is not kept for 31 days"


def uploads_are_announced(plan: Plan) -> Iterator[str]:
    """Each finished upload, and nothing else, is announced on the topic of uploads."""
    notification = plan.one("storage_notification")
    bucket = f"{plan.project}-{plan.prefix}-uploads"
    if (notification["bucket"], notification["payload_format"]) != (bucket, "JSON_API_V1"):
        yield f"announced: {notification.values}"
    if notification["topic"] != f"//pubsub.googleapis.com/{plan.topic('uploads')}":
        yield f"announced on {notification['topic']}"
    if notification["event_types"] != ["OBJECT_FINALIZE"]:
        yield f"announced: {notification['event_types']}"


def the_queue_keeps_the_rate_limit(plan: Plan) -> Iterator[str]:
    """The queue sends what Mavi accepts, leaves room for direct callers, and retries for hours."""
    queue = plan.one("cloud_tasks_queue")
    rate = queue.block("rate_limits").get("max_dispatches_per_second")
    if rate != plan.variable("mavi_requests_per_second"):
        yield f"{rate} tasks a second"
    submit = plan.service("submit")
    if number(plan.environment("submit").get("MAVI_REQUESTS_PER_SECOND")) != number(rate):
        yield "queue and submit have different rates"
    at_once = queue.block("rate_limits").get("max_concurrent_dispatches")
    if at_once != plan.variable("queue_concurrency"):
        yield f"{at_once} tasks at once"
    if number(at_once) >= number(submit.get("max_instance_request_concurrency")):
        yield "the queue takes every request that submit can hold"
    retry = queue.block("retry_config")
    first_s, last_s = seconds(retry.get("min_backoff")), seconds(retry.get("max_backoff"))
    if not 1 <= first_s <= 60 or not 60 <= last_s <= HOUR_S:
        yield f"tasks are retried after {first_s} to {last_s} s"
    # Long enough for an outage of half a working day; then sweep enqueues the submission again.
    if not 4 * HOUR_S <= number(retry.get("max_attempts")) * last_s <= 7 * DAY_S:
        yield f"tasks are dropped after {retry.get('max_attempts')} attempts"


def sweep_is_scheduled(plan: Plan) -> Iterator[str]:
    """The scheduler calls sweep at least once an hour, with a token of the calling identity."""
    job = plan.one("cloud_scheduler_job")
    target = job.block("http_target")
    if (target.get("uri"), target.get("http_method")) != (plan.url("sweep"), "POST"):
        yield f"scheduled: {target.get('http_method')} {target.get('uri')}"
    token = (target.get("oidc_token") or [{}])[0]
    if token.get("service_account_email") != plan.account("to-sweep"):
        yield f"scheduled as {token.get('service_account_email')}"
    if token.get("audience") != plan.url("sweep"):
        yield f"the token is for {token.get('audience')}"
    if job["schedule"] != plan.variable("sweep_schedule"):
        yield f"scheduled: {job['schedule']}"
    if job["time_zone"] not in ("Etc/UTC", "UTC"):
        yield f"scheduled in {job['time_zone']}, which may have daylight saving time"
    retry = job.block("retry_config")
    # One repetition covers an instance that does not start; the next run is an hour away at most.
    if not 1 <= number(retry.get("retry_count")) <= 5:
        yield f"a failed call is repeated {retry.get('retry_count')} times"
    if not 5 <= seconds(retry.get("min_backoff_duration")) <= 300:
        yield f"a failed call is repeated after {retry.get('min_backoff_duration')}"


def only_callback_requests_are_unlogged(plan: Plan) -> Iterator[str]:
    """The request log of callback, whose path is the token, is excluded, and no other log is."""
    wanted = parse_filter(
        'resource.type="cloud_run_revision" AND log_id("run.googleapis.com/requests") AND '
        f'resource.labels.service_name="{plan.prefix}-callback"'
    )
    found = [parse_filter(item["filter"]) for item in plan.all("logging_project_exclusion")]
    if found != [wanted]:
        yield f"excluded from the logs: {found}"


POLICIES: Final[tuple[Policy, ...]] = (
    topics_keep_messages_for_replay,
    pushes_reach_their_function,
    pushes_end_in_dead_letters,
    deadlines_are_longer_than_work,
    subscriptions_never_expire,
    uploads_are_announced,
    the_queue_keeps_the_rate_limit,
    sweep_is_scheduled,
    only_callback_requests_are_unlogged,
)

"""Promises about topics, subscriptions, the queue, the schedule and the request log."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra.plan import Plan, Resource
from transcripts.google.queue import DISPATCH_DEADLINE_S

PUSHES = {"callbacks": ("subscriber", "callbacks-dead"), "uploads": ("ingest", "uploads-dead")}
KEPT = ("callbacks-dead", "callbacks-rejected", "uploads-dead")
DAY_S = 24 * 60 * 60
LONGEST_S = 31 * DAY_S
LEAST_ATTEMPT_S = 15
"""The least that Cloud Scheduler takes for an attempt."""


def seconds(text: object) -> float:
    """Read a duration such as ``600s``; absent is 0."""
    return float(str(text).removesuffix("s")) if text else 0.0


def number(value: object) -> float:
    """Read a number; absent is 0."""
    return float(str(value)) if value else 0.0


def _pushing(plan: Plan) -> dict[str, Resource]:
    return {item["topic"]: item for item in plan.all("pubsub_subscription") if item["push_config"]}


def _keeping(plan: Plan) -> dict[str, Resource]:
    found = plan.all("pubsub_subscription")
    return {item["topic"]: item for item in found if not item["push_config"]}


def topics_are_there(plan: Plan) -> Iterator[str]:
    """The five topics; those that are pushed keep every message for a seek to a time."""
    found = {resource["name"]: resource for resource in plan.all("pubsub_topic")}
    if set(found) != {f"{plan.prefix}-{name}" for name in (*PUSHES, *KEPT)}:
        yield f"topics: {sorted(found)}"
    for name in PUSHES:
        topic = found.get(f"{plan.prefix}-{name}")
        kept_s = seconds(topic["message_retention_duration"]) if topic else 0
        if kept_s != plan.variable("replay_days") * DAY_S:
            yield f"{name} keeps messages for {kept_s} s"


def pushes_go_where_they_should(plan: Plan) -> Iterator[str]:
    """Callbacks go to subscriber, uploads to ingest, with a token of the identity that may call."""
    pushing = _pushing(plan)
    if set(pushing) != {plan.topic(name) for name in PUSHES}:
        yield f"pushed: {sorted(pushing)}"
    for name, (function, _) in PUSHES.items():
        subscription = pushing.get(plan.topic(name))
        if subscription is None:
            continue
        push = subscription.block("push_config")
        if push.get("push_endpoint") != plan.url(function):
            yield f"{name} is pushed to {push.get('push_endpoint')}"
        token = (push.get("oidc_token") or [{}])[0]
        if token.get("service_account_email") != plan.account(f"to-{function}"):
            yield f"{name} is pushed as {token.get('service_account_email')}"
        if token.get("audience") != plan.url(function):
            yield f"the token of {name} is for {token.get('audience')}"
        if subscription["filter"]:
            yield f"{name} is filtered, and what does not match is lost"


def pushes_end_in_dead_letters(plan: Plan) -> Iterator[str]:
    """Every push has dead letters, where Pub/Sub's agent may put them, and back-off before them."""
    agent = plan.agent("gcp-sa-pubsub")
    agents = {(g.role, g.target) for g in plan.grants if g.member == agent}
    pushing = _pushing(plan)
    for name, (_, dead) in PUSHES.items():
        subscription = pushing.get(plan.topic(name))
        if subscription is None:
            continue
        policy = subscription.block("dead_letter_policy")
        if policy.get("dead_letter_topic") != plan.topic(dead):
            yield f"dead letters of {name} go to {policy.get('dead_letter_topic')}"
        if not 5 <= (policy.get("max_delivery_attempts") or 0) <= 100:
            yield f"{name} has {policy.get('max_delivery_attempts')} attempts"
        back_off = subscription.block("retry_policy")
        bounds = (
            seconds(back_off.get("minimum_backoff")),
            seconds(back_off.get("maximum_backoff")),
        )
        if bounds != (10, 600):
            yield f"{name} comes again after {bounds} s"
        if ("roles/pubsub.publisher", f"{plan.prefix}-{dead}") not in agents:
            yield f"Pub/Sub may not publish to {dead}"
        if ("roles/pubsub.subscriber", subscription["name"]) not in agents:
            yield f"Pub/Sub may not acknowledge on {subscription['name']}"


def deadlines_are_longer_than_work(plan: Plan) -> Iterator[str]:
    """A message or task that is still being worked on is not sent again."""
    pushing = _pushing(plan)
    longest_s = 0.0
    for name, (function, _) in PUSHES.items():
        subscription = pushing.get(plan.topic(name))
        timeout_s = number(plan.service(function).get("timeout_seconds"))
        longest_s = max(longest_s, timeout_s)
        if subscription and number(subscription["ack_deadline_seconds"]) < timeout_s:
            yield f"{function} may take {timeout_s} s, {name} comes again before"
    # An operator may push what was kept: docs/deploy.md, Dead letters.
    for topic, subscription in _keeping(plan).items():
        if number(subscription["ack_deadline_seconds"]) < longest_s:
            yield f"{topic} comes again before {longest_s} s"
    if number(plan.service("submit").get("timeout_seconds")) < DISPATCH_DEADLINE_S:
        yield "submit is stopped before the queue gives it up"
    job = plan.one("cloud_scheduler_job")
    timeout_s = number(plan.service("sweep").get("timeout_seconds"))
    if seconds(job["attempt_deadline"]) < max(timeout_s, LEAST_ATTEMPT_S):
        yield "the scheduler gives sweep up while it works, or can't wait for so short"


def nothing_expires_unseen(plan: Plan) -> Iterator[str]:
    """No subscription expires; dead and rejected messages wait for 31 days, the longest."""
    for subscription in plan.all("pubsub_subscription"):
        if subscription["expiration_policy"] != [{"ttl": ""}]:
            yield f"{subscription.address} expires"
        if seconds(subscription["message_retention_duration"]) < 7 * DAY_S:
            yield f"{subscription.address} keeps messages for less than a week"
    keeping = _keeping(plan)
    if set(keeping) != {plan.topic(name) for name in KEPT}:
        yield f"kept: {sorted(keeping)}"
    for topic, subscription in keeping.items():
        if seconds(subscription["message_retention_duration"]) != LONGEST_S:
            yield f"{topic} is not kept for 31 days"


def uploads_are_announced(plan: Plan) -> Iterator[str]:
    """Each finished upload, and nothing else, is announced on its topic."""
    notification = plan.one("storage_notification")
    bucket = f"{plan.project}-{plan.prefix}-uploads"
    if (notification["bucket"], notification["payload_format"]) != (bucket, "JSON_API_V1"):
        yield f"announced: {notification.values}"
    if notification["topic"] != f"//pubsub.googleapis.com/{plan.topic('uploads')}":
        yield f"announced on {notification['topic']}"
    if notification["event_types"] != ["OBJECT_FINALIZE"] or notification["object_name_prefix"]:
        yield f"announced: {notification['event_types']}, {notification['object_name_prefix']}"


def the_queue_keeps_mavis_pace(plan: Plan) -> Iterator[str]:
    """The queue sends what Mavi takes, once a second, and leaves room for direct callers."""
    queue = plan.one("cloud_tasks_queue")
    rate = queue.block("rate_limits").get("max_dispatches_per_second")
    if rate != plan.variable("mavi_requests_per_second"):
        yield f"{rate} tasks a second"
    submit = plan.service("submit")
    pace = (submit.get("environment_variables") or {}).get("MAVI_REQUESTS_PER_SECOND")
    if number(pace) != number(rate):
        yield "queue and submit keep another pace"
    at_once = queue.block("rate_limits").get("max_concurrent_dispatches") or 1000
    if at_once >= number(submit.get("max_instance_request_concurrency")):
        yield "the queue takes all of submit"
    retry = queue.block("retry_config")
    if number(retry.get("max_attempts")) < 20:
        yield f"tasks are given up soon: {retry}"
    back_off = (
        seconds(retry.get("min_backoff")),
        seconds(retry.get("max_backoff")),
        number(retry.get("max_doublings")),
    )
    # 10 s, doubled six times, is 640 s: the most is reached, and 100 attempts are about 16 hours.
    if back_off != (10, 600, 6):
        yield f"tasks come again after {back_off}"


def sweep_is_called(plan: Plan) -> Iterator[str]:
    """The scheduler calls sweep, at least once an hour, with a token of the identity that may."""
    job = plan.one("cloud_scheduler_job")
    target = job.block("http_target")
    if (target.get("uri"), target.get("http_method")) != (plan.url("sweep"), "POST"):
        yield f"scheduled: {target.get('http_method')} {target.get('uri')}"
    token = (target.get("oidc_token") or [{}])[0]
    if token.get("service_account_email") != plan.account("to-sweep"):
        yield f"scheduled as {token.get('service_account_email')}"
    if token.get("audience") != plan.url("sweep"):
        yield f"the token is for {token.get('audience')}"
    if job["schedule"] != plan.variable("sweep_schedule") or job["paused"]:
        yield f"scheduled: {job['schedule']}"
    if job["time_zone"] != "Etc/UTC":
        yield f"scheduled in {job['time_zone']}, whose clock may be changed"
    again = job.block("retry_config")
    if (number(again.get("retry_count")), seconds(again.get("min_backoff_duration"))) != (2, 30):
        yield f"a call that fails comes again: {again}"


def tokens_stay_out_of_logs(plan: Plan) -> Iterator[str]:
    """The callback's requests, whose path is the token, are not logged."""
    log_filter = plan.one("logging_project_exclusion")["filter"]
    for part in (
        'resource.type="cloud_run_revision"',
        f'resource.labels.service_name="{plan.prefix}-callback"',
        'log_id("run.googleapis.com/requests")',
    ):
        if part not in str(log_filter).split(" AND "):
            yield f"the exclusion lacks {part}"
    if plan.one("logging_project_exclusion")["disabled"]:
        yield "the exclusion is off"


RULES = (
    topics_are_there,
    pushes_go_where_they_should,
    pushes_end_in_dead_letters,
    deadlines_are_longer_than_work,
    nothing_expires_unseen,
    uploads_are_announced,
    the_queue_keeps_mavis_pace,
    sweep_is_called,
    tokens_stay_out_of_logs,
)

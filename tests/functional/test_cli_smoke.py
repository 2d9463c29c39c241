"""The checks of `transcripts smoke` on a deployment, as its functions and gcloud answer.

tests/e2e runs the command on the local stack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from google.auth.exceptions import DefaultCredentialsError

from cli.client.kept_messages import KeptFrom, KeptMessage
from cli.commands import smoke, smoke_cloud
from cli.commands.doctor import KEPT, PUSHED
from cli.deploy import secret_values
from cli.deploy.programs import Output
from tests.command_line import Reply, ScriptedServer, error, transcripts
from tests.deploy.fake_programs import PROJECT, FakePrograms
from tests.fakes import NOW
from tests.functional.test_cli_login import checkout, outputs, programs
from transcripts.ports import Message
from transcripts.results.answers import TaskList
from transcripts.results.filters import INDEXES
from transcripts.submissions.sweep import QUERIES

__all__ = ["checkout", "programs"]

TOKEN = "live-token-of-a-deployment-that-is-long-enough"
ID = f"smoke-{UUID(int=7).hex}"
MESSAGE = KeptMessage("1", Message(b"", {"task_id": ID}), NOW, "handle")


class Kept:
    """The messages that a subscription has."""

    def __init__(self, *messages: KeptMessage) -> None:
        self.messages = list(messages)
        self.error: Exception | None = None

    async def read(self) -> Any:
        if self.error is not None:
            raise self.error
        for each in list(self.messages):
            yield each

    async def acknowledge(self, kept: KeptMessage) -> None:
        self.messages.remove(kept)

    async def close(self) -> None:
        pass


class Deployment:
    """A deployment in which all is well; each test breaks one thing."""

    def __init__(self, server: ScriptedServer, programs: FakePrograms) -> None:
        self.server = server
        self.events = Kept(MESSAGE)
        self.kept = {source: Kept() for source in KeptFrom}
        self._answers: list[tuple[str, Output]] = []
        self._runs = 0
        server.on("GET /tasks", Reply(200, TaskList([], None)))
        server.on("POST /submit/", error(400, "invalid_body", "Give one."))
        server.on(f"POST /callback/{TOKEN}", Reply(200, b'{"code":0}'))
        server.on(f"POST /callback/{smoke.WRONG_TOKEN}", Reply(404, b""))
        server.on("POST /callback/", Reply(404, b""))
        server.on(f"GET /tasks/{ID}", error(404, "task_not_found", "No."), Reply(200, b"{}"))
        for name in smoke.FORMATS:
            server.on(f"GET /tasks/{ID}.{name}", Reply(200, b"A canary."))
        server.on(f"DELETE /tasks/{ID}", Reply(204, b""))
        self.removed()
        for name in ("submit", "ingest", "subscriber", "sweep"):
            server.on(f"POST /{name}", Reply(403, b""))
        server.on("GET /mavi/re_0000000000000000/metadata", Reply(400, b"{}"))
        names = ("results", "submit", "ingest", "sweep", "subscriber")
        urls = {name: f"{server.url}/{name}" for name in names}
        programs.answer(
            "terraform output -json",
            outputs(
                results_url=server.url,
                callback_url=f"{server.url}/callback",
                urls=urls | {"results": server.url},
            ),
        )
        self._answers.append(("secrets versions access latest", Output(0, TOKEN, "")))
        self.job: dict[str, Any] = {
            "state": "ENABLED",
            "schedule": "*/15 * * * *",
            "lastAttemptTime": "1",
        }
        self.answer("gcloud scheduler jobs describe", self.job)
        self.answer("gcloud scheduler jobs run", None)
        rate = {"maxDispatchesPerSecond": 1.0}
        self.answer("gcloud tasks queues describe", {"state": "RUNNING", "rateLimits": rate})
        self.answer("gcloud pubsub subscriptions list", self.subscriptions)
        self.answer("gcloud pubsub topics get-iam-policy", self.policy("callback"))
        self.answer(
            "gcloud pubsub topics get-iam-policy transcripts-results",
            self.policy("subscriber", "submit"),
        )
        self.answer("gcloud firestore indexes composite list", self.indexes)
        self.answer("gcloud firestore fields ttls list", self.expiry)

    def answer(self, words: str, content: Any, code: int = 0) -> None:
        """Prepare the answer to a gcloud command that begins so; the last one counts."""
        text = content if code else json.dumps(content)
        self._answers.append((words.removeprefix("gcloud "), Output(code, text, text)))

    def gcloud(self, *words: str) -> Output:
        """Answer as gcloud does; a run of the scheduler's job leaves its time."""
        text = " ".join(words)
        if text.startswith("scheduler jobs run"):
            self._runs += 1
            job = self.job | {"lastAttemptTime": f"run {self._runs}"}
            self.answer("gcloud scheduler jobs describe", job)
        return next(result for start, result in reversed(self._answers) if text.startswith(start))

    def removed(self) -> None:
        """Let the canary be there once, and be gone after its deletion."""
        gone = error(404, "task_not_found", "No.")
        self.server.on(f"GET /tasks/{ID}", gone, Reply(200, b"{}"), gone)

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        pushed = {
            "pushConfig": {"oidcToken": {"serviceAccountEmail": "a@b"}},
            "deadLetterPolicy": {"deadLetterTopic": "t"},
        }
        names = {f"{topic}-to-{name}": pushed for topic, name in PUSHED.items()}
        names |= {f"{topic}-kept": {} for topic in KEPT}
        path = f"projects/{PROJECT}/subscriptions/transcripts-"
        return [{"name": f"{path}{name}", **more} for name, more in names.items()]

    @staticmethod
    def policy(*functions: str) -> dict[str, Any]:
        accounts = [
            f"serviceAccount:transcripts-{name}@{PROJECT}.iam.gserviceaccount.com"
            for name in functions
        ]
        return {"bindings": [{"role": "roles/pubsub.publisher", "members": accounts}]}

    @property
    def indexes(self) -> list[dict[str, Any]]:
        wanted = [(collection, *fields) for collection, *fields in QUERIES]
        wanted += [(name, *(field for field, _ in fields)) for name, *fields in INDEXES]
        path = "projects/p/databases/transcripts/collectionGroups"
        return [
            {
                "name": f"{path}/{collection}/indexes/1",
                "fields": [{"fieldPath": name} for name in (*fields, "__name__")],
                "state": "READY",
            }
            for collection, *fields in wanted
        ]

    @property
    def expiry(self) -> list[dict[str, Any]]:
        path = "projects/p/databases/transcripts/collectionGroups"
        return [
            {"name": f"{path}/{name}/fields/expires_at", "ttlConfig": {"state": "ACTIVE"}}
            for name in smoke_cloud.EXPIRING
        ]


@pytest.fixture
def deployed(
    checkout: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    with ScriptedServer().running() as server:
        tfvars = checkout / "infra" / "production.tfvars"
        tfvars.write_text(f'{tfvars.read_text()}mavi_base_url = "{server.url}/mavi"\n')
        deployment = Deployment(server, programs)
        monkeypatch.setattr(smoke, "uuid4", lambda: UUID(int=7))
        monkeypatch.setattr(smoke, "POLL_S", 0.01)
        monkeypatch.setattr(smoke, "STORED_WITHIN_S", 1.0)
        monkeypatch.setattr(smoke, "ANSWER_TIMEOUT_S", 1.0)
        monkeypatch.setattr(smoke, "open_results", lambda *_: deployment.events)
        monkeypatch.setattr(smoke, "open_kept", lambda _, source: deployment.kept[source])
        monkeypatch.setattr(smoke_cloud, "POLL_S", 0.01)
        monkeypatch.setattr(smoke_cloud, "SWEPT_WITHIN_S", 1.0)
        monkeypatch.setattr(smoke_cloud, "gcloud", deployment.gcloud)
        monkeypatch.setattr(secret_values, "gcloud", deployment.gcloud)
        yield deployment


def problems() -> list[tuple[str, str, str]]:
    """Return the name, the detail and the repair of each check that fails."""
    result = transcripts("smoke", "--env", "production", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1), result.output
    return [
        (check["name"], check["detail"], check["repair"])
        for check in found["checks"]
        if not check["ok"]
    ]


def test_smoke_of_a_healthy_deployment_finds_nothing_and_leaves_nothing(
    deployed: Deployment,
) -> None:
    """The canary is deleted, its event is taken, and no token is printed."""
    result = transcripts("smoke", "--env", "production")
    assert result.exit_code == 0, result.output
    assert "problem" not in result.stdout
    assert result.stdout.count("ok ") >= 20
    assert TOKEN not in result.output
    assert deployed.server.of(f"DELETE /tasks/{ID}")
    assert deployed.events.messages == []


def wrong_token(deployed: Deployment) -> None:
    deployed.server.on(f"POST /callback/{TOKEN}", Reply(404, b""))


def missing_index(deployed: Deployment) -> None:
    deployed.answer("gcloud firestore indexes composite list", deployed.indexes[1:])


def push_without_identity(deployed: Deployment) -> None:
    first, *rest = deployed.subscriptions
    first["pushConfig"] = {"pushEndpoint": "https://x"}
    deployed.answer("gcloud pubsub subscriptions list", [first, *rest])


def paused_queue(deployed: Deployment) -> None:
    deployed.answer("gcloud tasks queues describe", {"state": "PAUSED"})


def topic_without_publisher(deployed: Deployment) -> None:
    deployed.server.on(f"POST /callback/{TOKEN}", Reply(503, b""))
    deployed.answer("gcloud pubsub topics get-iam-policy transcripts-callbacks", {})


def sweep_not_scheduled(deployed: Deployment) -> None:
    deployed.answer("gcloud scheduler jobs describe", "ERROR: NOT_FOUND: Job not found.", 1)


def sweep_without_right(deployed: Deployment) -> None:
    deployed.job["status"] = {"code": 7}


def revoked_key(deployed: Deployment) -> None:
    deployed.server.on("GET /mavi/re_0000000000000000/metadata", Reply(401, b"{}"))


def results_not_invokable(deployed: Deployment) -> None:
    for path in ("/tasks", f"/tasks/{ID}"):
        deployed.server.on(f"GET {path}", Reply(403, b"<html>Forbidden</html>"))
    deployed.server.on(f"DELETE /tasks/{ID}", Reply(403, b"<html>Forbidden</html>"))


def no_expiry(deployed: Deployment) -> None:
    deployed.answer("gcloud firestore fields ttls list", deployed.expiry[1:])


def dead_letters(deployed: Deployment) -> None:
    deployed.kept[KeptFrom.DEAD].messages.append(MESSAGE)


def open_sweep(deployed: Deployment) -> None:
    deployed.server.on("POST /sweep", Reply(200, b"{}"))


def not_stored(deployed: Deployment) -> None:
    deployed.server.on(f"GET /tasks/{ID}", error(404, "task_not_found", "No."))
    deployed.events.messages.clear()


def no_login(deployed: Deployment) -> None:
    for kept in (deployed.events, deployed.kept[KeptFrom.DEAD]):
        kept.error = DefaultCredentialsError("none")


DEPLOY = "make deploy ENV=production"


@pytest.mark.parametrize(
    ("break_it", "name", "sentence", "repair"),
    [
        (wrong_token, "callback", "runs with another version of the secret", DEPLOY),
        (missing_index, "indexes", "tasks status submitted_at is missing", DEPLOY),
        (
            push_without_identity,
            "subscription transcripts-callbacks-to-subscriber",
            "subscriber refuses every message",
            DEPLOY,
        ),
        (paused_queue, "queue", "is PAUSED: nothing is bought", "gcloud tasks queues resume"),
        (topic_without_publisher, "topic transcripts-callbacks", "may not publish", DEPLOY),
        (topic_without_publisher, "callback", "can't publish to its topic", DEPLOY),
        (sweep_not_scheduled, "sweep", "Job not found", DEPLOY),
        (sweep_without_right, "sweep", "answers the scheduler with status 7", DEPLOY),
        (revoked_key, "key", "is refused by Mavi: it was revoked", "make set-api-key"),
        (results_not_invokable, "results", "You may not call production", "make deploy"),
        (no_expiry, "expiry", "no time to live for tasks", DEPLOY),
        (dead_letters, "kept in dead", "wait for you", "transcripts replay dead --env production"),
        (open_sweep, "strangers", "sweep answers 200 without a login", DEPLOY),
        (no_login, "canary", "not logged in to Pub/Sub", "gcloud auth application-default login"),
        (no_login, "kept messages", "not logged in", "gcloud auth application-default login"),
        (not_stored, "document", f"transcripts delete {ID}", "transcripts logs"),
    ],
)
def test_smoke_of_a_broken_deployment_says_what_is_wrong_and_what_to_do(
    deployed: Deployment,
    break_it: Callable[[Deployment], None],
    name: str,
    sentence: str,
    repair: str,
) -> None:
    """Each planted break has its line; the other checks are made too."""
    break_it(deployed)
    found = {each: (detail, what) for each, detail, what in problems()}
    assert name in found, found
    detail, what = found[name]
    assert sentence in detail
    assert what.startswith(repair)

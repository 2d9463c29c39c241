"""The public function ``callback``, through the framework."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from tests.builders import TASK_ID, callback_body, shape_body, shape_names
from tests.fakes import NOW, LogLines, RecordingPublisher
from tests.functional.framework import Loaded, chunk, load
from transcripts.callbacks.message import MAX_CALLBACK_BYTES
from transcripts.errors import SettingsError
from transcripts.ports import Message

OLD = "old-token-of-more-than-thirty-two-characters"
NEW = "new-token-of-more-than-thirty-two-characters"
CALLBACKS, REJECTED = "projects/p/topics/callbacks", "projects/p/topics/rejected"
ENVIRON = {
    "CALLBACK_TOKENS": f"{OLD},{NEW}",
    "CALLBACK_TOPIC": CALLBACKS,
    "REJECTED_TOPIC": REJECTED,
}


class CallbackClient:
    """The callback function with fakes inside."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.publisher = RecordingPublisher()
        self.lines = LogLines("callback")
        self.compose()

    def compose(self, **fakes: Any) -> None:
        parts: dict[str, Any] = {"publisher": self.publisher, "log": self.lines.log}
        self.loaded.compose(clock=lambda: NOW, **(parts | fakes))

    def refusals(self) -> list[str]:
        """Return the codes of the refused bodies in the log."""
        return [event["code"] for event in self.lines.named("callback_refused")]

    async def post(self, body: bytes, path: str = f"/{NEW}", **options: Any) -> Any:
        async with self.loaded.client() as http:
            return await http.request(options.pop("method", "POST"), path, content=body, **options)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> CallbackClient:
    return CallbackClient(load("callback", ENVIRON, monkeypatch))


async def test_callback_published_returns_200(client: CallbackClient) -> None:
    """The answer has the body that Mavi's senders check."""
    answer = await client.post(callback_body())
    assert (answer.status_code, answer.json()) == (200, {"code": 0, "msg": "success"})
    assert answer.headers["content-type"] == "application/json"
    (message,) = client.publisher.on(CALLBACKS)
    assert message.attributes["task_id"] == TASK_ID


@pytest.mark.parametrize("token", [OLD, NEW])
async def test_callback_with_either_live_token_returns_200(
    client: CallbackClient, token: str
) -> None:
    """Mavi may still post to the old URL."""
    assert (await client.post(callback_body(), f"/{token}")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/wrong", f"/{NEW}x", f"/{NEW}//", f"/a/{NEW}", "/%ff"])
async def test_callback_without_a_live_token_returns_an_empty_404(
    client: CallbackClient, method: str, path: str
) -> None:
    """The answer is the same for every method and path."""
    answer = await client.post(callback_body(), path, method=method)
    assert (answer.status_code, answer.content) == (404, b"")
    assert set(answer.headers) == {"content-length"}
    assert client.publisher.published == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_callback_with_token_and_other_method_returns_405(
    client: CallbackClient, method: str
) -> None:
    """It is logged: the body may have been a result."""
    answer = await client.post(callback_body(), method=method)
    assert (answer.status_code, answer.json()) == (405, {"error": {"code": "method_not_allowed"}})
    assert client.refusals() == ["method_not_allowed"]


async def test_callback_with_a_byte_order_mark_is_published(client: CallbackClient) -> None:
    """Some senders write one before their JSON; the body is kept as it came."""
    body = b"\xef\xbb\xbf" + callback_body()
    assert (await client.post(body)).status_code == 200
    (message,) = client.publisher.on(CALLBACKS)
    assert (message.attributes["task_id"], message.data) == (TASK_ID, body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"\xff", "invalid_json"),
        (callback_body()[:-9], "invalid_json"),
        (b'{"data": ' + b"[" * 200_000, "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b"[1]", "not_an_object"),
        (b'{"task_id": "__x__"}', "invalid_task_id"),
        (b'{"task_id": "../x"}', "invalid_task_id"),
    ],
)
async def test_callback_with_an_unreadable_body_returns_400_with_a_code(
    client: CallbackClient, body: bytes, code: str
) -> None:
    """The body is on the rejected topic."""
    answer = await client.post(body)
    assert (answer.status_code, answer.json()) == (400, {"error": {"code": code}})
    (message,) = client.publisher.on(REJECTED)
    assert message.attributes["reason"] == code


@pytest.mark.parametrize("name", shape_names())
async def test_callback_of_each_endpoint_returns_200(client: CallbackClient, name: str) -> None:
    """Nine endpoints and three other families share one URL."""
    assert (await client.post(shape_body(name))).status_code == 200
    assert client.publisher.on(CALLBACKS)[0].attributes["kind"] == name


@pytest.mark.parametrize("body", [callback_body(), b"nonsense"])
async def test_callback_without_acknowledgement_returns_503(
    client: CallbackClient, body: bytes
) -> None:
    """The answer has ``Retry-After``, and the next attempt works."""
    client.publisher.down = True
    answer = await client.post(body)
    assert (answer.status_code, answer.json()) == (503, {"error": {"code": "publish_unavailable"}})
    assert int(answer.headers["retry-after"]) > 0
    client.publisher.down = False
    assert (await client.post(body)).status_code in (200, 400)


async def test_callback_with_an_unexpected_error_returns_503(client: CallbackClient) -> None:
    """The error is logged once with its stack, without token or content."""
    lines = LogLines("callback")

    class Broken:
        async def publish(self, topic: str, message: Message) -> None:
            raise ZeroDivisionError(topic, message.data.decode())

    client.compose(publisher=Broken(), log=lines.log)
    answer = await client.post(callback_body())
    assert (answer.status_code, answer.json()) == (503, {"error": {"code": "internal"}})
    (event,) = lines.events
    assert event["message"] == "unexpected_error"
    assert NEW.encode() not in lines.raw[0]
    assert b"Ada" not in lines.raw[0]


async def test_callback_with_a_body_at_the_limit_is_published(client: CallbackClient) -> None:
    """One byte more is refused by its length, before it is read."""
    line = callback_body(segments=1000)[:-1]
    body = line + b" " * (MAX_CALLBACK_BYTES - len(line) - 1) + b"}"
    assert len(body) == MAX_CALLBACK_BYTES
    assert (await client.post(body)).status_code == 200
    answer = await client.loaded.raw(
        [chunk(body)], path=f"/{NEW}", headers={"content-length": str(MAX_CALLBACK_BYTES + 1)}
    )
    assert (answer.status, answer.received) == (413, 0)
    assert answer.headers["connection"] == "close"
    assert json.loads(answer.body) == {"error": {"code": "body_too_large"}}


async def test_callback_with_a_streaming_body_over_the_limit_returns_413(
    client: CallbackClient,
) -> None:
    """The function never holds more than the limit."""
    piece = b" " * (1024 * 1024)
    answer = await client.loaded.raw([chunk(piece, more=True)] * 100, path=f"/{NEW}")
    assert answer.status == 413
    assert answer.received == 33


async def test_callback_with_a_chunked_body_is_published(client: CallbackClient) -> None:
    """The pieces are joined."""
    body = callback_body(segments=40_000)
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    messages = [chunk(piece, more=True) for piece in pieces] + [chunk(b"")]
    answer = await client.loaded.raw(messages, path=f"/{NEW}")
    assert answer.status == 200
    (message,) = client.publisher.on(CALLBACKS)
    assert message.attributes["encoding"] == "gzip"


async def test_callback_too_large_when_compressed_returns_413(client: CallbackClient) -> None:
    """The body is kept nowhere, so it is logged as an error."""
    body = b'{"task_id": "a", "data": "' + os.urandom(10_000_000).hex().encode() + b'"}'
    answer = await client.post(body)
    assert (answer.status_code, answer.json()) == (413, {"error": {"code": "message_too_large"}})
    assert client.lines.named("callback_too_large")[0]["severity"] == "ERROR"


async def test_callback_with_an_incomplete_body_publishes_nothing(client: CallbackClient) -> None:
    """The connection has ended before the body."""
    answer = await client.loaded.raw(
        [chunk(callback_body()[:50], more=True)], path=f"/{NEW}", headers={"content-length": "999"}
    )
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": {"code": "body_incomplete"}}
    assert client.publisher.published == []


async def test_callback_with_a_dropped_body_returns_503(
    client: CallbackClient,
) -> None:
    """The HTTP server drops the body of a request with ``Upgrade``."""
    answer = await client.loaded.raw(
        [chunk(b"")],
        path=f"/{NEW}",
        headers={"content-length": "999", "upgrade": "h2c", "connection": "Upgrade"},
    )
    assert answer.status == 503
    assert json.loads(answer.body) == {"error": {"code": "body_not_received"}}
    assert client.publisher.published == []


async def test_callback_with_a_stalled_body_returns_408(
    client: CallbackClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other requests are served meanwhile."""
    client.compose(body_timeout_s=0.1)
    forever = asyncio.Event()

    async def stalling() -> dict[str, Any]:
        await forever.wait()
        return chunk(b"")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/{NEW}",
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    slow = asyncio.ensure_future(client.loaded.app(scope, stalling, send))
    assert (await client.post(callback_body())).status_code == 200
    await slow
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"]) == {"error": {"code": "body_timeout"}}


async def test_callbacks_at_once_get_their_own_answers(client: CallbackClient) -> None:
    """Valid, bad and foreign bodies do not affect each other."""
    bodies = [callback_body(task_id=f"t{n}") if n % 3 else b"bad" for n in range(90)]
    answers = await asyncio.gather(*(client.post(body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200 if n % 3 else 400 for n in range(90)]
    published = {item.attributes["task_id"] for item in client.publisher.on(CALLBACKS)}
    assert published == {f"t{n}" for n in range(90) if n % 3}


def test_start_without_a_setting_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that can't work must not get traffic."""
    with pytest.raises(SettingsError) as caught:
        load("callback", {"CALLBACK_TOKENS": "short"}, monkeypatch)
    for name in ENVIRON:
        assert name in str(caught.value)
    assert "short" not in str(caught.value)

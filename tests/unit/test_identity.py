"""The access token of a deployed function."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import grpc
import pytest

from cli.local.processes import free_port
from transcripts.google import identity as identity_module
from transcripts.google.identity import (
    REFRESH_BEFORE_S,
    TOKEN_PATH,
    IdentityError,
    ServiceIdentity,
    call_credentials,
    is_deployed,
)

LIFETIME_S = 3_600


class MetadataServer:
    """Issues ``token-1``, ``token-2`` and so on, or answers what a test sets."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes | None = None
        self.requests: list[tuple[str, str | None]] = []
        handler = type("Handler", (BaseHTTPRequestHandler,), {"do_GET": self._get})
        handler.log_message = lambda *_: None  # type: ignore[attr-defined]
        self._server = HTTPServer(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def _get(self) -> Any:
        def get(request: BaseHTTPRequestHandler) -> None:
            self.requests.append((request.path, request.headers["Metadata-Flavor"]))
            token = {"access_token": f"token-{len(self.requests)}", "expires_in": LIFETIME_S}
            body = json.dumps(token).encode() if self.body is None else self.body
            request.send_response(self.status)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        return get

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def metadata() -> Iterator[MetadataServer]:
    server = MetadataServer()
    yield server
    server.stop()


def test_header_is_the_token_of_the_metadata_server(metadata: MetadataServer) -> None:
    """Without the flavor header the metadata server refuses the request."""
    assert ServiceIdentity(metadata.host).header() == "Bearer token-1"
    assert metadata.requests == [(TOKEN_PATH, "Google")]


def test_header_is_kept_until_shortly_before_it_expires(metadata: MetadataServer) -> None:
    """One request an hour, not one a call."""
    clock = Clock()
    identity = ServiceIdentity(metadata.host, clock)
    assert identity.header() == "Bearer token-1"
    clock.now += LIFETIME_S - REFRESH_BEFORE_S - 1
    assert identity.header() == "Bearer token-1"
    clock.now += 1
    assert identity.header() == "Bearer token-2"


def test_header_during_an_outage_is_the_old_token_until_it_expires(
    metadata: MetadataServer,
) -> None:
    """An outage of a minute must not fail calls for which there is a good token."""
    clock = Clock()
    identity = ServiceIdentity(metadata.host, clock)
    identity.header()
    metadata.status = 503
    clock.now += LIFETIME_S - 1
    assert identity.header() == "Bearer token-1"
    clock.now += 1
    with pytest.raises(IdentityError, match="503"):
        identity.header()
    metadata.status = 200
    assert identity.header() == f"Bearer token-{len(metadata.requests)}"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"access_token":"secret-part', b"\xff"])
def test_header_with_an_unreadable_answer_raises_without_quoting_it(
    metadata: MetadataServer, body: bytes
) -> None:
    """The answer may hold a token, and the error is logged."""
    metadata.body = body
    with pytest.raises(IdentityError) as raised:
        ServiceIdentity(metadata.host).header()
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_header_without_a_metadata_server_raises() -> None:
    """The port is closed."""
    with pytest.raises(IdentityError, match="ConnectionRefusedError"):
        ServiceIdentity(f"127.0.0.1:{free_port()}").header()


def test_plugin_gives_the_header_or_the_error(metadata: MetadataServer) -> None:
    """An exception in the plugin itself would be logged with its stack by gRPC."""
    answers: list[tuple[Any, Any]] = []
    identity = ServiceIdentity(metadata.host)
    identity(None, lambda *answer: answers.append(answer))
    metadata.status = 500
    identity = ServiceIdentity(metadata.host)
    identity(None, lambda *answer: answers.append(answer))
    assert answers[0] == ((("authorization", "Bearer token-1"),), None)
    assert answers[1][0] == ()
    assert isinstance(answers[1][1], IdentityError)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "no"),
        ({"K_SERVICE": "callback"}, "yes"),
        ({"K_SERVICE": "callback", "GOOGLE_APPLICATION_CREDENTIALS": ""}, "yes"),
        ({"K_SERVICE": "callback", "GOOGLE_APPLICATION_CREDENTIALS": "key.json"}, "no"),
    ],
)
def test_is_deployed_by_cloud_runs_variable(environ: dict[str, str], expected: str) -> None:
    """A file with credentials takes precedence, as in google-auth."""
    assert is_deployed(environ) is (expected == "yes")


def test_call_credentials_of_a_deployed_function_need_no_google_auth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are made without a request: the first call asks for the token."""
    monkeypatch.setenv("K_SERVICE", "callback")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(identity_module, "_found_by_google_auth", None)
    assert isinstance(call_credentials("pubsub.googleapis.com"), grpc.CallCredentials)


def test_call_credentials_elsewhere_are_those_of_google_auth(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The file is the one of ``gcloud auth application-default login``."""
    file = tmp_path / "user.json"
    user = {
        "type": "authorized_user",
        "client_id": "made-up",
        "client_secret": "made-up",
        "refresh_token": "made-up",
        "quota_project_id": "p",
    }
    file.write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert isinstance(call_credentials("pubsub.googleapis.com"), grpc.CallCredentials)
    file.write_text("{}")
    with pytest.raises(IdentityError, match="DefaultCredentialsError"):
        call_credentials("pubsub.googleapis.com")

"""The client without a connection: a request that was never sent, or may have arrived."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import requests
import urllib3

from cli.local.processes import free_port
from tests.functional.provider import (
    PATIENT,
    a_file,
    client,
    nothing,
)
from transcripts.mavi.answers import (
    AnswerLost,
    NotSent,
    Sent,
    Unreachable,
)


async def test_submit_to_a_closed_port_is_not_sent() -> None:
    """Nothing listens there."""
    answer = await client(f"http://127.0.0.1:{free_port()}").submit("re_1")
    assert isinstance(answer, NotSent)


async def test_submit_to_an_unknown_host_is_not_sent() -> None:
    """Without an address there is no request."""
    answer = await client("https://mavi.invalid").submit("re_1")
    assert isinstance(answer, NotSent)


@pytest.mark.parametrize(
    "url", ["https://a..b/v2", f"https://{'a' * 64}.example", "https://a:99999", "mavi.example"]
)
async def test_submit_to_an_invalid_url_is_not_sent(url: str) -> None:
    """requests and urllib3 raise errors of their own for it."""
    assert isinstance(await client(url).submit("re_1"), NotSent)
    assert await client(url).asset_state("re_1") is None


async def test_submit_without_certificates_is_not_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """requests raises a bare OSError."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    assert isinstance(await client("https://mavi.invalid").submit("re_1"), AnswerLost)


async def test_submit_to_an_untrusted_certificate_is_not_sent(self_signed: ssl.SSLContext) -> None:
    """TLS ends before the request."""
    listening = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=self_signed
    )
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        assert isinstance(await client(f"https://127.0.0.1:{port}").submit("re_1"), NotSent)


async def test_submit_with_another_tls_error_is_an_answer_lost() -> None:
    """It can happen after the request was sent."""

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        assert isinstance(await client(f"https://127.0.0.1:{port}").submit("re_1"), AnswerLost)


NEW_CONNECTION = urllib3.exceptions.NewConnectionError(
    urllib3.connection.HTTPConnection("mavi.example"), "refused"
)

PROXY = urllib3.exceptions.ProxyError("no proxy", OSError())

UNTRUSTED = ssl.SSLCertVerificationError("self-signed")


def wrapped(reason: Exception) -> Exception:
    """Return a failure as urllib3 raises it to requests, after its last try."""
    pool = urllib3.HTTPSConnectionPool("mavi.example")
    return urllib3.exceptions.MaxRetryError(pool, "/", reason)


NEVER_SENT = [
    requests.exceptions.ConnectTimeout(wrapped(urllib3.exceptions.ConnectTimeoutError())),
    requests.exceptions.InvalidURL("no host"),
    requests.exceptions.InvalidSchema("ftp"),
    requests.exceptions.MissingSchema("none"),
    requests.exceptions.InvalidHeader("line break"),
    urllib3.exceptions.LocationParseError("a..b"),
    requests.exceptions.ConnectionError(wrapped(NEW_CONNECTION)),
    requests.exceptions.ProxyError(wrapped(PROXY)),
    requests.exceptions.SSLError(wrapped(urllib3.exceptions.SSLError(UNTRUSTED))),
]

MAYBE_SENT = [
    requests.exceptions.ReadTimeout("silent"),
    requests.exceptions.ConnectionError(
        urllib3.exceptions.ProtocolError("broken", ConnectionResetError())
    ),
    requests.exceptions.ChunkedEncodingError("cut off"),
    requests.exceptions.ContentDecodingError("endless answer"),
    requests.exceptions.SSLError(wrapped(urllib3.exceptions.SSLError(ssl.SSLEOFError("end")))),
    requests.exceptions.SSLError(wrapped(urllib3.exceptions.SSLError())),
    requests.exceptions.SSLError("no reason"),
    requests.exceptions.ConnectionError(),
    OSError("no bundle of certificates"),
    urllib3.exceptions.HTTPError(),
]


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(requests.Session, "request", request)


def name_of(error: Exception) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", NEVER_SENT, ids=name_of)
async def test_call_that_fails_before_its_first_byte_is_not_sent(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was bought, so the call may be repeated; no byte of a file was sent."""
    fail_with(error, monkeypatch)
    mavi = client("https://mavi.example").mavi
    assert isinstance(await mavi.submit("re_1", PATIENT, nothing), NotSent)
    file, opened = a_file(10)
    assert await mavi.send("https://signed.example/x", file) is Sent.UNREACHABLE
    assert await mavi.upload(file, PATIENT) == Unreachable()
    assert all(each.closed for each in opened)


@pytest.mark.parametrize("error", MAYBE_SENT, ids=name_of)
async def test_call_that_fails_later_may_have_bought(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request may have arrived completely, so it is not repeated."""
    fail_with(error, monkeypatch)
    mavi = client("https://mavi.example").mavi
    assert isinstance(await mavi.submit("re_1", PATIENT, nothing), AnswerLost)
    file, opened = a_file(10)
    assert await mavi.send("https://signed.example/x", file) is Sent.INTERRUPTED
    assert await mavi.upload(file, PATIENT) is None
    assert await mavi.asset_state("re_1", PATIENT) is None
    assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()
    assert all(each.closed for each in opened)


async def test_connection_without_an_answer_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connecting has its own limit, which is shorter than that of an answer."""
    timeouts: list[Any] = []

    def request(*_: Any, timeout: Any, **__: Any) -> Any:
        timeouts.append(timeout)
        raise requests.exceptions.ConnectTimeout

    monkeypatch.setattr(requests.Session, "request", request)
    mavi = client("https://mavi.example").mavi
    file, _ = a_file(10)
    await mavi.submit("re_1", PATIENT, nothing)
    await mavi.send("https://signed.example/x", file)
    await mavi.upload(file, PATIENT)
    assert timeouts == [(10.0, 60.0), (10.0, 300.0), (10.0, 300.0)]
    assert mavi._call_within_s == 70.0

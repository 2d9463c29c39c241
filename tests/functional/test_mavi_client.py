"""The client against the fake provider, and against servers that answer as nobody should."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.fake_mavi.limiter import Limiter
from cli.fake_mavi.server import FakeMavi
from cli.processes import free_port
from tests.functional.provider import (
    KEY,
    PATIENT,
    Webhook,
    client,
    nothing,
    ready,
    server,
)
from tests.polling import eventually
from transcripts.callbacks.kinds import identify
from transcripts.errors import ObjectUnavailable
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AnswerLost,
    AssetState,
    DeleteAnswer,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SignedUrl,
    Unreachable,
    Uploaded,
)
from transcripts.mavi.client import File, MaviClient
from transcripts.mavi.multipart import clean_filename
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.settings import Secret


async def test_submit_accepted_is_called_back_once(fake: FakeMavi, webhook: Webhook) -> None:
    """The key is sent without ``Bearer``."""
    answer = await client(fake.url).submit(ready(fake))
    assert isinstance(answer, Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    assert identify(webhook.bodies[0]) == (answer.task_id, "multi_speaker")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Ambiguous()),
        (402, Refused(Refusal.NO_CREDIT, 402)),
        (403, Refused(Refusal.AUTH, 403)),
        (429, RateLimited()),
        (500, AnswerLost("http_500")),
    ],
)
async def test_submit_answer_is_classified(fake: FakeMavi, status: int, expected: Any) -> None:
    """For each answer that the fake can give."""
    fake.faults.answers = {"submit": [status]}
    assert await client(fake.url).submit(ready(fake)) == expected
    assert fake.account.jobs == []


async def test_submit_with_a_wrong_key_is_refused(fake: FakeMavi) -> None:
    """A key with ``Bearer`` is wrong, too."""
    for key in ("wrong", f"Bearer-{KEY}"):
        answer = await client(fake.url, key).submit(ready(fake))
        assert answer == Refused(Refusal.AUTH, 401)


async def test_submit_without_a_webhook_is_refused(fake: FakeMavi) -> None:
    """This is the one text that is read."""
    fake.webhook_url = None
    assert await client(fake.url).submit(ready(fake)) == Refused(Refusal.NO_WEBHOOK, 400)


@pytest.mark.parametrize("generation", [1, 2, 3])
async def test_submit_accepts_both_success_codes(
    fake: FakeMavi, webhook: Webhook, generation: int
) -> None:
    """In answers and in callbacks."""
    fake.faults.generation = generation
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    code = msgspec.json.decode(webhook.bodies[0])["code"]
    assert code == {1: "0000", 2: "200", 3: 200}[generation]


async def test_submit_with_a_broken_connection_is_an_answer_lost(fake: FakeMavi) -> None:
    """The job was accepted."""
    fake.faults.lost_answer = 1
    assert isinstance(await client(fake.url).submit(ready(fake)), AnswerLost)
    assert len(fake.account.jobs) == 1


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


async def _silence(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def _hang_up(_: asyncio.StreamWriter) -> None:
    return


def _say(content: bytes) -> Callable[[asyncio.StreamWriter], Any]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return answer


async def _for_ever(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        _silence,
        _hang_up,
        _for_ever,
        _say(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        _say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
        _say(b"nonsense\r\n\r\n"),
    ],
    ids=["silence", "hang up", "for ever", "cut off", "bad gzip", "no HTTP"],
)
async def test_submit_without_a_whole_answer_is_an_answer_lost(answer: Any) -> None:
    """The request was sent, so it may be billed."""
    async with server(answer) as url:
        assert isinstance(await client(url, answer_timeout_s=0.3).submit("re_1"), AnswerLost)


async def test_submit_redirected_is_not_followed() -> None:
    """The key is for one host, and a job is bought at one URL."""
    moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(_say(moved)) as url:
        assert await client(url).submit("re_1") == Refused(Refusal.ERROR, 307)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


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


async def test_submit_with_a_netrc_sends_the_key(
    fake: FakeMavi, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests would send the user and password of the file instead."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)


async def test_asset_state_is_read_from_the_metadata(fake: FakeMavi) -> None:
    """For every upload status, and for a missing asset."""
    mavi = client(fake.url)
    fake.faults.upload_delay_s = 3600
    asset = fake.account.add_asset("a.mp4", complete=False)
    assert await mavi.asset_state(asset.asset_id) is AssetState.WAITING
    fake.account.complete(asset, 3, "abc")
    assert await mavi.asset_state(asset.asset_id) is AssetState.UPLOADING
    fake.faults.upload_delay_s = 0
    assert await mavi.asset_state(asset.asset_id) is AssetState.READY
    assert await mavi.asset_state("re_none") is AssetState.MISSING
    fake.faults.answers = {"metadata": [429, 500]}
    assert await mavi.asset_state("re_none") is None
    assert await mavi.asset_state("re_none") is None
    assert await client("http://127.0.0.1:1").asset_state("re_1") is None


class Endless:
    """A file of zeros that is never in memory, and remembers how it was read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest = 0
        self.closed = False

    def read(self, size: int, /) -> bytes:
        self.largest = max(self.largest, size)
        content = bytes(min(size, self.left))
        self.left -= len(content)
        return content

    def close(self) -> None:
        self.closed = True


def a_file(size: int, filename: str = "talk.mp4") -> tuple[File, list[Endless]]:
    opened: list[Endless] = []

    def open_file() -> Endless:
        opened.append(Endless(size))
        return opened[-1]

    return File(open_file, size, filename), opened


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_send_streams_the_whole_file(fake: FakeMavi, method: str) -> None:
    """With POST or PUT, and the file is closed."""
    fake.faults.signed_url_method = method
    mavi = client(fake.url).mavi
    signed = await mavi.signed_url("talk.mp4", PATIENT)
    assert isinstance(signed, SignedUrl)
    size = 20_000_000
    file, opened = a_file(size)
    assert await sent(mavi, signed.url, file) is Sent.ACCEPTED
    asset = fake.account.assets[signed.asset_id]
    assert asset.size == size
    assert asset.sha256 == hashlib.sha256(bytes(size)).hexdigest()
    assert all(each.closed for each in opened)
    assert max(each.largest for each in opened) <= 256 * 1024
    assert await mavi.asset_state(signed.asset_id, PATIENT) is AssetState.READY
    again = await mavi.signed_url("b.mp4", PATIENT)
    assert isinstance(again, SignedUrl)
    before = len(opened)
    assert await mavi.send(again.url, file) is Sent.ACCEPTED
    assert len(opened) == before + 1
    assert fake.keys_given_away == 0


async def sent(mavi: MaviClient, url: str, file: File) -> Sent:
    """Send again what broke off: a server may hang up on a verb before it has all the bytes."""
    first = await mavi.send(url, file)
    return await mavi.send(url, file) if first is Sent.INTERRUPTED else first


async def test_send_to_a_refusing_url_is_refused(fake: FakeMavi) -> None:
    """With both methods; a URL without a server is unreachable."""
    file, opened = a_file(100_000)
    mavi = client(fake.url).mavi
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    assert await mavi.send(nowhere, file) is Sent.REFUSED
    assert len(opened) == 2
    assert await mavi.send(f"http://127.0.0.1:{free_port()}/x", file) is Sent.UNREACHABLE
    fake.faults.answers = {"signed": [503]}
    assert await mavi.send(nowhere, file) is Sent.UNREACHABLE
    assert all(each.closed for each in opened)


async def test_send_interrupted_uses_the_other_method_next_time() -> None:
    """Not at once: the bytes may have arrived."""
    methods: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods.append((await reader.readuntil(b" ")).strip())
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    file, _ = a_file(1_000)
    mavi = client("http://127.0.0.1:1").mavi
    async with listening:
        for _ in range(3):
            assert await mavi.send(f"http://127.0.0.1:{port}/x", file) is Sent.INTERRUPTED
    assert methods == [b"POST", b"PUT", b"POST"]


async def test_send_with_each_method_takes_a_slot(fake: FakeMavi) -> None:
    """The rate limit counts requests."""
    fake.limiter = Limiter(5.0, time.monotonic)
    file, _ = a_file(1_000)
    mavi = MaviClient(fake.url, Secret(KEY), per_second=5.0)
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    assert [await mavi.send(nowhere, file) for _ in range(2)] == [Sent.REFUSED] * 2
    assert (fake.limiter.requests, fake.limiter.violations) == ({"signed": 4}, {})


async def test_upload_in_one_request_sends_the_whole_file(fake: FakeMavi) -> None:
    """Every file name survives."""
    file, _ = a_file(3_000_000, 'a "b" ä\n.mp4')
    answer = await client(fake.url).mavi.upload(file, PATIENT)
    assert isinstance(answer, Uploaded)
    asset = fake.account.assets[answer.asset_id]
    assert (asset.size, asset.filename) == (3_000_000, "a 'b' ä_.mp4")


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "name", ["a\x01\x00\x7f\x85.mp4", "a\u2028.mp4", "a\ud800.mp4", "x" * 1000 + ".mp4", "😀.mp4"]
)
async def test_upload_of_any_name_arrives(fake: FakeMavi, name: str, method: str) -> None:
    """Both ways of uploading tell the same name, which every server can read."""
    fake.faults.signed_url_method = method
    mavi = client(fake.url).mavi
    file, _ = a_file(1_000, name)
    signed = await mavi.signed_url(name, PATIENT)
    assert isinstance(signed, SignedUrl)
    assert await sent(mavi, signed.url, file) is Sent.ACCEPTED
    answer = await mavi.upload(file, PATIENT)
    assert isinstance(answer, Uploaded)
    assets = fake.account.assets
    told = {assets[each].filename for each in (signed.asset_id, answer.asset_id)}
    assert told == {clean_filename(name)}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, None),
        (401, Refused(Refusal.AUTH, 401)),
        (402, Refused(Refusal.NO_CREDIT, 402)),
        (405, Refused(Refusal.ERROR, 405)),
        (429, RateLimited()),
        (500, Unreachable()),
    ],
)
async def test_upload_refused_is_classified(fake: FakeMavi, status: int, expected: Any) -> None:
    """Both ways of uploading."""
    fake.faults.answers = {"signed_url": [status], "upload": [status]}
    mavi = client(fake.url).mavi
    assert await mavi.signed_url("a.mp4", PATIENT) == expected
    file, _ = a_file(1_000)
    assert await mavi.upload(file, PATIENT) == expected


async def test_send_of_a_short_file_raises(fake: FakeMavi) -> None:
    """The server is not left waiting for the rest."""
    file, _ = a_file(1_000_000)
    short = File(file.open, 2_000_000, file.filename)
    mavi = client(fake.url).mavi
    signed = await mavi.signed_url("a.mp4", PATIENT)
    assert isinstance(signed, SignedUrl)
    with pytest.raises(ObjectUnavailable):
        await mavi.send(signed.url, short)
    with pytest.raises(ObjectUnavailable):
        await mavi.upload(short, PATIENT)


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Begin to answer, and never come to an end: a byte at a time restarts every time-out."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(600):
        writer.write(b"X-Drip: x\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_call_with_a_dripping_answer_times_out() -> None:
    """It must end before the lease."""
    loop = asyncio.get_running_loop()
    async with server(_drip) as url:
        mavi = MaviClient(url, Secret(KEY), per_second=10_000.0, answer_timeout_s=0.2)
        mavi._call_within_s = 0.5
        began = loop.time()
        assert isinstance(await mavi.submit("re_1", PATIENT, nothing), AnswerLost)
        assert await mavi.asset_state("re_1", PATIENT) is None
        assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()
        assert loop.time() - began < 10


async def test_submit_records_the_intent_when_a_thread_is_free(fake: FakeMavi) -> None:
    """A waiting call is not on record."""
    mavi = client(fake.url).mavi
    mavi._calls.slots = asyncio.Semaphore(1)
    asset_id = ready(fake)
    order: list[str] = []

    async def buy(name: str) -> None:
        async def before_send() -> None:
            order.append(f"{name} intends")

        await mavi.submit(asset_id, PATIENT, before_send)
        order.append(f"{name} is answered")

    await asyncio.gather(buy("a"), buy("b"))
    assert order == ["a intends", "a is answered", "b intends", "b is answered"]


async def test_signed_url_with_an_unreadable_answer_is_none(fake: FakeMavi) -> None:
    """It is no asset."""
    for content in (
        b"nonsense",
        b'{"code": 200}',
        b'{"code": 200, "data": {"asset_id": "../x"}}',
        b'{"code": "7777"}',
    ):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        async with server(_say(head + content)) as url:
            assert await client(url).mavi.signed_url("a.mp4", PATIENT) is None
    nowhere = client(f"http://127.0.0.1:{free_port()}").mavi
    assert await nowhere.signed_url("a.mp4", PATIENT) == Unreachable()
    file, _ = a_file(10)
    assert await nowhere.upload(file, PATIENT) == Unreachable()


async def test_calls_of_each_endpoint_have_their_own_rate_limit(fake: FakeMavi) -> None:
    """One does not delay another."""
    fake.limiter = Limiter(100.0, time.monotonic)
    mavi = MaviClient(fake.url, Secret(KEY), per_second=100.0)
    begin = time.monotonic()
    assets = [ready(fake) for _ in range(10)]
    answers = await asyncio.gather(
        *(mavi.submit(asset, PATIENT, nothing) for asset in assets),
        *(mavi.asset_state(asset, PATIENT) for asset in assets),
    )
    assert time.monotonic() - begin >= 0.09
    assert all(isinstance(answer, Accepted) for answer in answers[:10])
    assert fake.limiter.violations == {}
    with pytest.raises(RateLimitTimeout):
        await asyncio.gather(*(mavi.submit(asset, 0.03, nothing) for asset in assets))


NEW_CONNECTION = urllib3.exceptions.NewConnectionError(
    urllib3.connection.HTTPConnection("mavi.example"), "refused"
)
PROXY = urllib3.exceptions.ProxyError("no proxy", OSError())
UNTRUSTED = ssl.SSLCertVerificationError("self-signed")


def wrapped(reason: Exception) -> Exception:
    """Return a failure as urllib3 hands it to requests: after the last of its tries."""
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
    """Nothing was bought, so the call may be repeated; a file has not even been begun."""
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
    """The request may have arrived whole, so nobody repeats it."""
    fail_with(error, monkeypatch)
    mavi = client("https://mavi.example").mavi
    assert isinstance(await mavi.submit("re_1", PATIENT, nothing), AnswerLost)
    file, opened = a_file(10)
    assert await mavi.send("https://signed.example/x", file) is Sent.INTERRUPTED
    assert await mavi.upload(file, PATIENT) is None
    assert await mavi.asset_state("re_1", PATIENT) is None
    assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()
    assert all(each.closed for each in opened)


async def test_connection_that_nobody_accepts_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time to connect is a limit of its own, shorter than that for an answer."""
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


async def test_answer_that_is_too_long_is_lost_however_fast_it_comes() -> None:
    """The size alone ends it, long before the time does."""
    sent_bytes = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent_bytes < 200_000_000:
            writer.write(b" " * 65536)
            await writer.drain()
            sent_bytes += 65536

    async with server(flood) as url:
        answer = await client(url, answer_timeout_s=50.0).submit("re_1")
    assert answer == AnswerLost("answer_too_long")
    assert sent_bytes < 20_000_000


async def test_answer_of_the_largest_size_is_read_whole() -> None:
    """One byte more is too long."""
    answers = []
    for extra in (0, 1):
        content = b'{"code": 200, "data": {"task_id": "abc"}}'.ljust(1024 * 1024 + extra)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        async with server(_say(head + content)) as url:
            answers.append(await client(url).submit("re_1"))
    assert answers == [Accepted("abc"), AnswerLost("answer_too_long")]


async def test_answer_that_never_ends_is_lost_however_short_it_is() -> None:
    """The time alone ends it, in the thread that reads: no thread is left behind with it."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(600):
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    loop = asyncio.get_running_loop()
    async with server(trickle) as url:
        began = loop.time()
        answer = await client(url, answer_timeout_s=0.3).submit("re_1")
        assert answer == AnswerLost("answer_too_long")
        assert loop.time() - began < 8.0


@pytest.mark.parametrize(
    ("base_url", "url", "taken"),
    [
        ("https://mavi.example", "https://signed.example/x", True),
        ("https://mavi.example", "http://signed.example/x", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/x", True),
        ("http://127.0.0.1:1", "https://signed.example/x", True),
    ],
)
async def test_signed_address_in_the_clear_is_taken_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    url: str,
    taken: bool,  # noqa: FBT001 - parametrized
) -> None:
    """A recording never leaves this machine without TLS."""
    mavi = client(base_url).mavi
    content = msgspec.json.encode({"code": 200, "data": {"asset_id": "re_1", "signed_url": url}})
    monkeypatch.setattr(mavi, "_call", lambda *_: (200, content, None))
    expected = SignedUrl("re_1", url) if taken else None
    assert await mavi.signed_url("a.mp4", PATIENT) == expected


async def test_file_is_not_opened_before_there_is_a_thread_for_it(fake: FakeMavi) -> None:
    """Each open file holds a chunk in memory, so only as many are open as there are threads."""
    mavi = client(fake.url).mavi
    mavi._uploads.slots = asyncio.Semaphore(0)
    file, opened = a_file(10)
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    sending = asyncio.ensure_future(mavi.send(nowhere, file))
    uploading = asyncio.ensure_future(mavi.upload(file, PATIENT))
    await asyncio.sleep(0.1)
    assert opened == []
    for _ in range(2):
        mavi._uploads.slots.release()
    assert await sending is Sent.REFUSED
    assert isinstance(await uploading, Uploaded)


async def test_questions_wait_for_a_thread_of_their_own(fake: FakeMavi) -> None:
    """No more calls are under way than there are threads."""
    mavi = client(fake.url).mavi
    mavi._calls.slots = asyncio.Semaphore(0)
    asset_id = ready(fake)
    asking = asyncio.ensure_future(mavi.asset_state(asset_id, PATIENT))
    making = asyncio.ensure_future(mavi.signed_url("a.mp4", PATIENT))
    await asyncio.sleep(0.1)
    assert fake.limiter.requests == {}
    mavi._calls.slots.release()
    assert await asking is AssetState.READY
    assert isinstance(await making, SignedUrl)


async def test_delete_of_an_asset_is_gone_the_second_time_too(fake: FakeMavi) -> None:
    """Mavi answers an error then, and the metadata tell that there is no such asset."""
    asset_id = ready(fake)
    mavi = client(fake.url).mavi
    for _ in range(2):
        assert await mavi.delete(asset_id, PATIENT) is DeleteAnswer.GONE
        assert asset_id not in fake.account.assets


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, DeleteAnswer.UNAVAILABLE),
        (401, DeleteAnswer.REFUSED),
        (403, DeleteAnswer.REFUSED),
        (429, DeleteAnswer.UNAVAILABLE),
        (500, DeleteAnswer.UNAVAILABLE),
    ],
)
async def test_delete_refused_leaves_the_asset(
    fake: FakeMavi, status: int, expected: DeleteAnswer
) -> None:
    """A 400 may be rate limiting: while the metadata show the asset, it is not gone."""
    asset_id = ready(fake)
    fake.faults.answers["delete"] = [status]
    assert await client(fake.url).mavi.delete(asset_id, PATIENT) is expected
    assert asset_id in fake.account.assets


async def test_delete_at_a_closed_port_is_unavailable() -> None:
    """Nothing is raised."""
    mavi = client(f"http://127.0.0.1:{free_port()}").mavi
    assert await mavi.delete("re_1", PATIENT) is DeleteAnswer.UNAVAILABLE


async def test_delete_without_an_answer_times_out() -> None:
    """It may be deleted or not; the next request tells."""

    async def silence(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with server(silence) as url:
        mavi = client(url, answer_timeout_s=0.2).mavi
        assert await mavi.delete("re_1", PATIENT) is DeleteAnswer.UNAVAILABLE

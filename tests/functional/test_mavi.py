"""The client against the fake Mavi, and the fake against its documents."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.fake_mavi.faults import Faults
from cli.fake_mavi.limiter import Limiter
from cli.fake_mavi.server import FakeMavi
from cli.processes import free_port
from tests.builders import shape_names
from tests.polling import eventually
from transcripts.callbacks.kinds import label
from transcripts.errors import ObjectUnavailable
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AssetState,
    Lost,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    SignedUrl,
    SubmitAnswer,
    Unreachable,
    Uploaded,
)
from transcripts.mavi.client import File, MaviClient
from transcripts.mavi.pacing import TooManyWaiting
from transcripts.settings import Secret

KEY = "made-up-key"


class Webhook:
    """Records what the fake posts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.json_response({"code": 0}, status=self.status)


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    webhook = Webhook()
    application = web.Application(client_max_size=2**30)
    application.router.add_post("/hook", webhook.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield webhook
    await runner.cleanup()


@pytest.fixture
async def fake(webhook: Webhook) -> AsyncIterator[FakeMavi]:
    fake = FakeMavi(
        KEY, webhook_url=webhook.url, faults=Faults(callback_delay_s=0.01), per_second=0
    )
    await fake.start()
    yield fake
    await fake.stop()


PATIENT = 60.0


async def nothing() -> None:
    """Record no intent."""


class Client:
    """A client in no hurry and without a pace, called as simply as a test wants."""

    def __init__(self, url: str, key: str = KEY, **options: Any) -> None:
        self.mavi = MaviClient(url, Secret(key), per_second=10_000.0, **options)

    async def submit(self, asset_id: str) -> SubmitAnswer:
        return await self.mavi.submit(asset_id, PATIENT, nothing)

    async def asset_state(self, asset_id: str) -> AssetState | None:
        return await self.mavi.asset_state(asset_id, PATIENT)


def client(url: str, key: str = KEY, **options: Any) -> Client:
    return Client(url, key, **options)


@asynccontextmanager
async def api(fake: FakeMavi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": KEY}) as session:
        yield session


def ready(fake: FakeMavi) -> str:
    return fake.add_asset("talk.mp4").asset_id


async def test_a_job_is_bought_and_called_back_once(fake: FakeMavi, webhook: Webhook) -> None:
    """The key is sent as it is, without Bearer."""
    answer = await client(fake.url).submit(ready(fake))
    assert isinstance(answer, Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    assert label(webhook.bodies[0]) == (answer.task_id, "multi_speaker")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Ambiguous()),
        (402, Refused(Refusal.NO_CREDIT, 402)),
        (403, Refused(Refusal.AUTH, 403)),
        (429, RateLimited()),
        (500, Lost("HTTP 500")),
    ],
)
async def test_every_answer_to_order(fake: FakeMavi, status: int, expected: Any) -> None:
    """The fake answers as told; the client understands."""
    fake.faults.answers = {"submit": [status]}
    assert await client(fake.url).submit(ready(fake)) == expected
    assert fake.account.jobs == []


async def test_a_wrong_key_is_refused(fake: FakeMavi) -> None:
    """As is a Bearer in front of it."""
    for key in ("wrong", f"Bearer-{KEY}"):
        answer = await client(fake.url, key).submit(ready(fake))
        assert answer == Refused(Refusal.AUTH, 401)


async def test_an_account_without_a_webhook_says_so(fake: FakeMavi) -> None:
    """The one text that is read."""
    fake.webhook_url = None
    assert await client(fake.url).submit(ready(fake)) == Refused(Refusal.NO_WEBHOOK, 400)


@pytest.mark.parametrize("generation", [1, 2, 3])
async def test_both_spellings_of_success(fake: FakeMavi, webhook: Webhook, generation: int) -> None:
    """In answers and callbacks."""
    fake.faults.generation = generation
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)
    await eventually(lambda: len(webhook.bodies) == 1)
    code = msgspec.json.decode(webhook.bodies[0])["code"]
    assert code == {1: "0000", 2: "200", 3: 200}[generation]


async def test_a_broken_connection_is_a_lost_answer(fake: FakeMavi) -> None:
    """The job was accepted; the client must not believe otherwise."""
    fake.faults.lost_answer = 1
    assert isinstance(await client(fake.url).submit(ready(fake)), Lost)
    assert len(fake.account.jobs) == 1


async def test_a_refused_connection_bought_nothing() -> None:
    """Nobody listens."""
    answer = await client(f"http://127.0.0.1:{free_port()}").submit("re_1")
    assert isinstance(answer, NotSent)


async def test_a_host_that_does_not_exist_bought_nothing() -> None:
    """No address, no request."""
    answer = await client("https://mavi.invalid").submit("re_1")
    assert isinstance(answer, NotSent)


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """Serve raw bytes to whoever has sent a whole request."""

    handling: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            for line in lines:
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
            await answer(writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield f"http://127.0.0.1:{port}"
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


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
async def test_every_way_of_losing_an_answer(answer: Any) -> None:
    """The request was sent whole, so it may have been billed."""
    async with server(answer) as url:
        assert isinstance(await client(url, answer_timeout_s=0.3).submit("re_1"), Lost)


async def test_a_redirect_is_not_followed() -> None:
    """The key is for one host, and a job is bought at one address."""
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


async def test_a_certificate_nobody_trusts_bought_nothing(self_signed: ssl.SSLContext) -> None:
    """TLS ends before the request."""
    listening = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=self_signed
    )
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        assert isinstance(await client(f"https://127.0.0.1:{port}").submit("re_1"), NotSent)


async def test_any_other_end_of_tls_may_have_bought() -> None:
    """It can come at any time, and what was sent before is not known."""

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        assert isinstance(await client(f"https://127.0.0.1:{port}").submit("re_1"), Lost)


async def test_no_netrc_replaces_the_key(
    fake: FakeMavi, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests would send its user and password instead."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await client(fake.url).submit(ready(fake)), Accepted)


async def test_metadata(fake: FakeMavi) -> None:
    """From the first byte to the last, and what is not there."""
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


async def test_the_limit_is_one_a_second_and_endpoint() -> None:
    """Answered as 429, or as the 400 that means anything; violations are counted."""
    now = [100.0]
    fake = FakeMavi(KEY, webhook_url="http://127.0.0.1:1", clock=lambda: now[0])
    await fake.start()
    mavi = client(fake.url)
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    assert await mavi.submit(ready(fake)) == RateLimited()
    assert await mavi.asset_state(ready(fake)) is AssetState.READY
    fake.faults.rate_limit_status = 400
    assert await mavi.submit(ready(fake)) == Ambiguous()
    now[0] += 1.0
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    assert fake.limiter.violations == {"submit": 2}
    await fake.stop()


async def test_uploads_and_signed_urls(fake: FakeMavi) -> None:
    """The asset id exists before any byte; the second step wants no key."""
    async with api(fake) as session:
        form = aiohttp.FormData()
        form.add_field("file", b"x" * 100_000, filename="talk.mp4")
        async with session.post(f"{fake.url}/upload", data=form) as response:
            asset_id = (await response.json())["data"]["asset_id"]
        async with session.get(f"{fake.url}/{asset_id}/metadata") as response:
            (resource,) = (await response.json())["data"]["resource"]
        assert (resource["file_size"], resource["upload_status"]) == ("100000", "SUCCESS")
        assert (resource["original_filename"], resource["extension"]) == ("talk", "mp4")
        async with session.post(
            f"{fake.url}/upload/signed-url", json={"original_filename": "b.mp3"}
        ) as response:
            signed = (await response.json())["data"]
        async with session.get(f"{fake.url}/{signed['asset_id']}/metadata") as response:
            (resource,) = (await response.json())["data"]["resource"]
        assert resource["upload_status"] == "WAITING"
        form = aiohttp.FormData()
        form.add_field("file", b"y" * 10, filename="b.mp3")
        async with aiohttp.ClientSession() as nobody:
            async with nobody.put(signed["signed_url"], data=b"y") as response:
                assert response.status == 403
            async with nobody.post(signed["signed_url"], data=form) as response:
                assert response.status == 200
        assert fake.account.assets[signed["asset_id"]].size == 10


async def test_deleting_twice_is_an_error(fake: FakeMavi) -> None:
    """It is not idempotent."""
    asset_id = ready(fake)
    async with api(fake) as session:
        for status in (200, 400):
            async with session.delete(f"{fake.url}/{asset_id}") as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("faults", "posted"),
    [
        ({"drop": 1}, 0),
        ({"duplicate": 1}, 2),
        ({"failed": 1}, 1),
        ({"malformed": 1}, 1),
        ({"giant": 1, "giant_bytes": 2_000_000}, 1),
    ],
)
async def test_callback_faults(
    fake: FakeMavi, webhook: Webhook, faults: dict[str, int], posted: int
) -> None:
    """Each does what it says, once, and the next callback is whole."""
    for knob, value in faults.items():
        setattr(fake.faults, knob, value)
    mavi = client(fake.url)
    assert isinstance(await mavi.submit(ready(fake)), Accepted)
    await eventually(lambda: not fake._posting)
    assert len(webhook.bodies) == posted
    if "giant" in faults:
        assert 1_500_000 < len(webhook.bodies[0]) < 2_500_000
    last = await mavi.submit(ready(fake))
    assert isinstance(last, Accepted)
    await eventually(lambda: len(webhook.bodies) == posted + 1)
    assert label(webhook.bodies[-1]) == (last.task_id, "multi_speaker")


async def test_reordered_callbacks(fake: FakeMavi, webhook: Webhook) -> None:
    """The first is held back until the second was posted."""
    fake.faults.reorder = 1
    mavi = client(fake.url)
    first = await mavi.submit(ready(fake))
    second = await mavi.submit(ready(fake))
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    await eventually(lambda: len(webhook.bodies) == 2)
    assert [label(body)[0] for body in webhook.bodies] == [second.task_id, first.task_id]


async def test_an_early_callback_overtakes_the_answer(fake: FakeMavi, webhook: Webhook) -> None:
    """It is there before the submit is answered."""
    fake.faults.early = 1
    answer = await client(fake.url).submit(ready(fake))
    assert isinstance(answer, Accepted)
    assert [label(body)[0] for body in webhook.bodies] == [answer.task_id]


async def test_foreign_shapes_come_in_turn(fake: FakeMavi, webhook: Webhook) -> None:
    """Every other endpoint's."""
    others = [name for name in shape_names() if name != "multi_speaker"]
    fake.faults.foreign = len(others)
    mavi = client(fake.url)
    for _ in others:
        await mavi.submit(ready(fake))
    await eventually(lambda: len(webhook.bodies) == len(others))
    assert sorted(label(body)[1] for body in webhook.bodies) == others


async def test_a_callback_is_posted_once_whatever_the_answer(
    fake: FakeMavi, webhook: Webhook
) -> None:
    """No retry is documented."""
    webhook.status = 503
    await client(fake.url).submit(ready(fake))
    await eventually(lambda: not fake._posting)
    assert len(webhook.bodies) == 1
    assert fake.deliveries[0]["status"] == 503


async def test_knobs_at_run_time(fake: FakeMavi) -> None:
    """Set one, see all; a mistyped one is refused."""
    async with aiohttp.ClientSession() as session:
        url = f"{fake.admin_url}/faults"
        async with session.patch(url, json={"drop": 2}) as response:
            assert (await response.json())["faults"]["drop"] == 2
        async with session.patch(url, json={"dorp": 2}) as response:
            assert response.status == 400
        async with session.put(f"{fake.admin_url}/webhook", json={"url": "http://x"}) as response:
            assert (await response.json())["webhook_url"] == "http://x"
        async with session.post(f"{fake.admin_url}/assets", json={}) as response:
            asset_id = (await response.json())["data"]["asset_id"]
        async with session.get(fake.admin_url) as response:
            assert (await response.json())["assets"][0]["asset_id"] == asset_id
    assert fake.faults.drop == 2


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
async def test_a_file_goes_to_a_signed_address(fake: FakeMavi, method: str) -> None:
    """By whichever verb is signed; streamed, closed, and complete."""
    fake.faults.signed_url_method = method
    mavi = client(fake.url).mavi
    signed = await mavi.signed_url("talk.mp4", PATIENT)
    assert isinstance(signed, SignedUrl)
    size = 20_000_000
    file, opened = a_file(size)
    assert await mavi.send(signed.url, file)
    asset = fake.account.assets[signed.asset_id]
    assert asset.size == size
    assert asset.sha256 == hashlib.sha256(bytes(size)).hexdigest()
    assert all(each.closed for each in opened)
    assert max(each.largest for each in opened) <= 256 * 1024
    assert await mavi.asset_state(signed.asset_id, PATIENT) is AssetState.READY
    again = await mavi.signed_url("b.mp4", PATIENT)
    assert isinstance(again, SignedUrl)
    before = len(opened)
    assert await mavi.send(again.url, file)
    assert len(opened) == before + 1


async def test_a_signed_address_that_takes_nothing(fake: FakeMavi) -> None:
    """Whatever the verb; and one where nobody listens."""
    file, opened = a_file(100_000)
    mavi = client(fake.url).mavi
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    assert not await mavi.send(nowhere, file)
    assert not await mavi.send(f"http://127.0.0.1:{free_port()}/x", file)
    assert all(each.closed for each in opened)


async def test_a_file_goes_in_one_request(fake: FakeMavi) -> None:
    """The way without signed addresses; any file name survives."""
    file, _ = a_file(3_000_000, 'a "b" ä\n.mp4')
    answer = await client(fake.url).mavi.upload(file, PATIENT)
    assert isinstance(answer, Uploaded)
    asset = fake.account.assets[answer.asset_id]
    assert (asset.size, asset.filename) == (3_000_000, "a 'b' ä_.mp4")


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
async def test_uploads_that_are_refused(fake: FakeMavi, status: int, expected: Any) -> None:
    """In both ways of uploading."""
    fake.faults.answers = {"signed_url": [status], "upload": [status]}
    mavi = client(fake.url).mavi
    assert await mavi.signed_url("a.mp4", PATIENT) == expected
    file, _ = a_file(1_000)
    assert await mavi.upload(file, PATIENT) == expected


async def test_a_file_that_ends_too_soon_breaks_the_upload_off(fake: FakeMavi) -> None:
    """Rather than leaving the server waiting for the rest."""
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


async def test_an_answer_that_drips_is_given_up() -> None:
    """The lease of the purchase does not wait for it."""
    loop = asyncio.get_running_loop()
    async with server(_drip) as url:
        mavi = MaviClient(url, Secret(KEY), per_second=10_000.0, answer_timeout_s=0.2)
        mavi._call_within_s = 0.5
        began = loop.time()
        assert isinstance(await mavi.submit("re_1", PATIENT, nothing), Lost)
        assert await mavi.asset_state("re_1", PATIENT) is None
        assert await mavi.signed_url("a.mp4", PATIENT) == Unreachable()
        assert loop.time() - began < 10


async def test_nothing_is_on_record_before_there_is_a_thread_for_it(fake: FakeMavi) -> None:
    """Calls that wait for a thread have not said that they are under way."""
    mavi = client(fake.url).mavi
    mavi._calls.slots = asyncio.Semaphore(1)
    asset_id = ready(fake)
    order: list[str] = []

    async def buy(name: str) -> None:
        async def intent() -> None:
            order.append(f"{name} intends")

        await mavi.submit(asset_id, PATIENT, intent)
        order.append(f"{name} is answered")

    await asyncio.gather(buy("a"), buy("b"))
    assert order == ["a intends", "a is answered", "b intends", "b is answered"]


async def test_unreadable_answers_to_an_upload(fake: FakeMavi) -> None:
    """None of them is an asset; nobody there is none either."""
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


async def test_an_upload_in_the_clear_is_not_made() -> None:
    """A signed address without TLS is taken from a fake on this machine only."""
    mavi = MaviClient("https://mavi.example", Secret(KEY), per_second=10_000.0)

    def answer(*_: Any) -> Any:
        content = b'{"code": 200, "data": {"asset_id": "re_1", "signed_url": "http://x/y"}}'
        return 200, content, None

    mavi._call = answer  # type: ignore[method-assign,assignment] # one test's own provider
    assert await mavi.signed_url("a.mp4", PATIENT) is None


async def test_each_endpoint_has_a_pace_of_its_own(fake: FakeMavi) -> None:
    """At a hundred a second, ten submits take a tenth of a second, and hold up no other."""
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
    with pytest.raises(TooManyWaiting):
        await asyncio.gather(*(mavi.submit(asset, 0.03, nothing) for asset in assets))

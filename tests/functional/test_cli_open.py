"""`transcripts open`: the door of a browser to a private function."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from multidict import CIMultiDict

from cli.client import door as door_module
from cli.client.door import COOKIE, Door
from cli.failures import ExitCode, Failure
from cli.local.processes import free_port
from tests.functional.served_results import do, results
from tests.polling import eventually
from tests.results import Results
from tests.viewer import a_transcript

__all__ = ["results"]

PROGRAM = str(Path(sys.executable).with_name("transcripts"))

NAVIGATION = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


class Upstream:
    """The private function: it records each request, and answers as a test says."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, CIMultiDict[str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.breaks = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = CIMultiDict(request.headers)
        self.requests.append((request.method, request.raw_path, headers, await request.read()))
        answer = web.StreamResponse(status=self.status, headers=self.headers)
        await answer.prepare(request)
        await answer.write(b"first ")
        if self.breaks and request.transport is not None:
            request.transport.close()
        else:
            await answer.write(b"last")
        return answer

    @property
    def sent(self) -> CIMultiDict[str]:
        return self.requests[-1][2]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


class Visit:
    """The proxy, and a browser that has opened the printed address."""

    def __init__(self, proxy: Door, client: httpx.AsyncClient) -> None:
        self.proxy = proxy
        self.client = client

    async def enter(self) -> httpx.Response:
        return await self.client.get(self.proxy.address("/"))


@pytest.fixture
def tokens() -> list[str]:
    return ["token-1", "token-2"]


@pytest.fixture
async def door(upstream: Upstream, tokens: list[str]) -> AsyncIterator[Visit]:
    proxy = Door(upstream.url, lambda: tokens.pop(0))
    await proxy.start()
    base = proxy.address("").partition("?")[0]
    async with httpx.AsyncClient(base_url=base + proxy._root) as client:
        yield Visit(proxy, client)
    await proxy.stop()


async def test_printed_address_lets_the_browser_in(door: Visit, upstream: Upstream) -> None:
    """The key is out of the address then, and the function never sees it."""
    answer = await door.enter()
    root = door.proxy._root
    assert (answer.status_code, answer.headers["Refresh"]) == (200, f"0; url={root}/")
    bound = {"HttpOnly", "SameSite=Strict", f"Path={root}"}
    assert bound <= set(answer.headers["Set-Cookie"].split("; "))
    assert upstream.requests == []
    answer = await door.client.get("/view/t?q=%2Fa%20b&q=2")
    assert answer.text == "first last"
    method, path, headers, _ = upstream.requests[0]
    assert (method, path) == ("GET", "/view/t?q=%2Fa%20b&q=2")
    assert headers["Authorization"] == "Bearer token-1"
    assert COOKIE not in headers.get("Cookie", "")
    assert headers["Transcripts-Root"] == root


async def test_printed_address_works_once(door: Visit, upstream: Upstream) -> None:
    """A second browser that learns it is kept out, and the cookie is another secret."""
    address = door.proxy.address("/")
    assert (await door.client.get(address)).status_code == 200
    (cookie,) = door.client.cookies.values()
    assert cookie not in address
    async with httpx.AsyncClient() as other:
        assert (await other.get(address)).status_code == 403
        assert (await other.get(f"{address.partition('?')[0]}?key={cookie}")).status_code == 403
    assert upstream.requests == []


async def test_two_doors_let_the_same_browser_in(door: Visit, upstream: Upstream) -> None:
    """Cookies ignore ports, so each door binds its cookie to a path of its own."""
    second = Door(upstream.url, lambda: "token-of-the-second")
    await second.start()
    await door.enter()
    await door.client.get(second.address("/"))
    second_address = second.address(f"{second._root}/").partition("?")[0]
    for address in (str(door.client.base_url), second_address):
        assert (await door.client.get(address)).text == "first last"
    await second.stop()


async def test_link_of_another_site_is_followed_by_the_page_itself(
    door: Visit, upstream: Upstream
) -> None:
    """Browsers keep a strict cookie back where another site leads here."""
    answer = await door.client.get("/view/t?q=a", headers=NAVIGATION)
    assert (answer.status_code, answer.headers["Refresh"]) == (
        200,
        f"0; url={door.proxy._root}/view/t?q=a",
    )
    again = {**NAVIGATION, "Sec-Fetch-Site": "same-origin"}
    assert (await door.client.get("/view/t?q=a", headers=again)).status_code == 403
    assert upstream.requests == []


def test_open_gives_the_browser_no_key_as_argument(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every user of the machine can read arguments; the file is this user's only."""
    do(results.put(a_transcript()))
    script = tmp_path / "browser"
    lines = ("#!/bin/sh", f'echo "$1" > {tmp_path}/given', f'cp "${{1#file://}}" {tmp_path}/page')
    script.write_text("\n".join(lines))
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")
    process = subprocess.Popen(  # noqa: S603 - our own command
        [PROGRAM, "open", "t", "--port", "0"], stdout=subprocess.PIPE, cwd=tmp_path, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        copied = tmp_path / "page"
        asyncio.run(eventually(lambda: copied.exists() and bool(copied.read_text())))
        given = (tmp_path / "given").read_text()
        assert given.startswith("file:///")
        assert "key=" not in given
        address = (tmp_path / "page").read_text().partition("url=")[2].partition('"')[0]
        assert "site meeting" in opened(address)
        assert not Path(given.strip().removeprefix("file://")).parent.stat().st_mode & 0o077
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        process.communicate()


@pytest.mark.parametrize("path", ["/", "/?key=", "/?key=wrong", "/tasks/t"])
async def test_browser_without_the_key_is_refused(
    door: Visit, upstream: Upstream, path: str
) -> None:
    """So are other users of this machine."""
    assert (await door.client.get(path)).status_code == 403
    assert (await door.client.get(path, headers={"Cookie": f"{COOKIE}=wrong"})).status_code == 403
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["", "/wrong", "{root}@evil.example", "{root}.evil.example"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_cookie_alone_opens_nothing(
    door: Visit, upstream: Upstream, method: str, path: str
) -> None:
    """A server on another port that learns it can neither read nor rename."""
    await door.enter()
    port, root = door.client.base_url.port, door.proxy._root
    cookie = {"Cookie": f"{COOKIE}={door.proxy._secret}"}
    async with httpx.AsyncClient() as other:
        address = f"http://127.0.0.1:{port}{path.format(root=root)}/view/t"
        assert (await other.request(method, address, headers=cookie)).status_code == 403
        assert upstream.requests == []
        address = f"http://127.0.0.1:{port}{root}/view/t"
        assert (await other.request(method, address, headers=cookie)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1", "127.0.0.1.nip.io"])
async def test_other_host_is_refused(door: Visit, upstream: Upstream, host: str) -> None:
    """With the port too: a name that another site lets resolve to 127.0.0.1."""
    await door.enter()
    port = door.client.base_url.port
    for given in {host, f"{host}:{port}"} - {f"127.0.0.1:{port}"}:
        answer = await door.client.get("/", headers={"Host": given})
        assert answer.status_code == 403
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", {"Sec-Fetch-Site": "none"}, 200),
        ("GET", {}, 200),
        ("GET", NAVIGATION, 200),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ("POST", NAVIGATION, 403),
        ("GET", NAVIGATION | {"Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:1"}, 403),
        ("PATCH", {"Sec-Fetch-Site": "same-origin"}, 405),
        ("DELETE", {"Sec-Fetch-Site": "same-origin"}, 405),
        ("OPTIONS", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_request_of_another_site_is_refused(
    door: Visit, upstream: Upstream, method: str, headers: dict[str, str], status: int
) -> None:
    """A reader may follow a link from another site; that site can read and send nothing."""
    await door.enter()
    answer = await door.client.request(method, "/view/t", headers=headers)
    assert answer.status_code == status
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("target", ["@evil.example/", "http://evil.example/", "*"])
async def test_request_without_a_path_is_refused(
    door: Visit, upstream: Upstream, target: str
) -> None:
    """It could change the host that the token is sent to."""
    await door.enter()
    port = door.client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ((name, value),) = door.client.cookies.items()
    cookie = f"{name}={value}"
    lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Cookie: {cookie}"]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    assert (await reader.readline()).split()[1] in (b"400", b"403")
    writer.close()
    await writer.wait_closed()
    assert upstream.requests == []


async def test_headers_of_the_browser_cannot_replace_the_token(
    door: Visit, upstream: Upstream
) -> None:
    """Nor say where the request comes from; the other cookies pass."""
    await door.enter()
    door.client.cookies.set("csrf", "mine")
    await door.client.post(
        "/view/t/names",
        content=b"a=1",
        headers={
            "Authorization": "Bearer other",
            "X-Serverless-Authorization": "Bearer other",
            "X-Forwarded-For": "1.2.3.4",
            "Connection": "keep-alive",
            "Sec-Fetch-Site": "same-origin",
        },
    )
    sent = upstream.sent
    assert sent.getall("Authorization") == ["Bearer token-1"]
    assert not {"X-Serverless-Authorization", "X-Forwarded-For"} & set(sent)
    assert sent["Cookie"] == "csrf=mine"
    assert sent["Host"] == upstream.url.partition("//")[2]
    assert sent["Sec-Fetch-Site"] == "same-origin"
    assert upstream.requests[-1][3] == b"a=1"


async def test_answer_passes_with_its_status_and_headers(door: Visit, upstream: Upstream) -> None:
    """Redirects are the browser's to follow."""
    await door.enter()
    upstream.status = 303
    upstream.headers = {"Location": "/view/t", "Content-Security-Policy": "default-src 'none'"}
    answer = await door.client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/view/t")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"


async def test_token_that_is_not_accepted_is_replaced(door: Visit, upstream: Upstream) -> None:
    """By the next request; a usual token serves many."""
    await door.enter()
    for _ in range(2):
        await door.client.get("/")
        assert upstream.sent["Authorization"] == "Bearer token-1"
    upstream.status = 401
    assert (await door.client.get("/")).status_code == 401
    await door.client.get("/")
    assert upstream.sent["Authorization"] == "Bearer token-2"


async def test_old_token_is_replaced(
    door: Visit, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it expires."""
    await door.enter()
    await door.client.get("/")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + door_module.TOKEN_AGE_S + 1)
    await door.client.get("/")
    assert upstream.sent["Authorization"] == "Bearer token-2"


async def test_login_that_has_expired_is_explained(
    upstream: Upstream, door: Visit, tokens: list[str]
) -> None:
    """In the browser, where the reader is."""

    def expired() -> str:
        raise Failure("Log in: gcloud auth login", ExitCode.NOT_AUTHORIZED)

    await door.enter()
    door.proxy._token_source = expired
    answer = await door.client.get("/")
    assert (answer.status_code, answer.text) == (502, "Log in: gcloud auth login\n")


async def test_function_that_does_not_answer_is_502(door: Visit) -> None:
    """The page says which address."""
    await door.enter()
    door.proxy._target_url = f"http://127.0.0.1:{free_port()}"
    answer = await door.client.get("/")
    assert answer.status_code == 502
    assert "does not answer" in answer.text


async def test_answer_that_breaks_off_never_looks_whole(door: Visit, upstream: Upstream) -> None:
    """The browser sees an error, as without the proxy."""
    await door.enter()
    upstream.breaks = True
    with pytest.raises(httpx.TransportError):
        await door.client.get("/")


async def test_port_that_is_taken_is_a_failure(door: Visit, upstream: Upstream) -> None:
    """With what to do."""
    second = Door(upstream.url, lambda: None)
    with pytest.raises(Failure, match="--port"):
        await second.start(door.client.base_url.port or 0)
    await second.stop()


def opened(address: str) -> str:
    """Return the page that a browser shows for an address."""
    with httpx.Client() as client:
        first = client.get(address)
        return client.get(
            httpx.URL(address).join(first.headers["Refresh"].partition("url=")[2])
        ).text


def test_command_opens_the_transcript_and_ends_with_ctrl_c(
    results: Results,
    tmp_path: Path,
) -> None:
    """Through the real function."""
    do(results.put(a_transcript()))
    command = [PROGRAM, "open", "t", "--no-browser"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--port", "0"], stdout=subprocess.PIPE, cwd=tmp_path, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert "site meeting" in opened(address)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        process.stdout.close()


def test_command_without_a_pipeline_explains_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before a browser opens."""
    monkeypatch.setenv("TRANSCRIPTS_URL", f"http://127.0.0.1:{free_port()}")
    command = [PROGRAM, "open"]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.FAILED
    assert "refuses connections" in done.stderr

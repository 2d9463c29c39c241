"""A door for a browser to a private function: a proxy on this machine that adds the ID token.

A browser cannot send an ID token with a navigation, and Cloud Run refuses requests without one. The
proxy listens on 127.0.0.1 only. It refuses

* another ``Host`` than its own, so no name that resolves to 127.0.0.1 leads here (DNS rebinding);
* requests that another origin makes, by ``Sec-Fetch-Site``
  (https://www.w3.org/TR/fetch-metadata/) and, from browsers without it, by ``Origin``;
* requests without both secrets that a one-use address leads to, so other users and programs of
  this machine cannot borrow the token: a cookie, and the part of the path that all pages are below.
  Cookies ignore ports, so a browser would give the cookie to other servers on 127.0.0.1. It is
  bound to that path, which no other page knows, and no browser tells where a reader comes from.
"""

from __future__ import annotations

import asyncio
import html
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from cli.failures import Failure

COOKIE: Final = "transcripts_open"
KEY_PARAMETER: Final = "key"
ROOT_HEADER: Final = "Transcripts-Root"
"""Tells the function what stands before its paths in the browser."""

METHODS: Final = frozenset({"GET", "HEAD", "POST"})
TOKEN_AGE_S: Final = 30 * 60
"""An ID token is valid for an hour."""

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 120.0
MAX_BODY_BYTES: Final = 1024 * 1024

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
_HOP_BY_HOP: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "proxy-connection"),
    }
)
_NOT_SENT: Final = _HOP_BY_HOP | {
    *("host", "cookie", "content-length", "authorization", "x-serverless-authorization"),
    *("transcripts-root", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
}
_OWN_SITES: Final = frozenset({"same-origin", "none"})

Token = Callable[[], str | None]
"""Returns an ID token, None where none is needed; blocks, and raises ``Failure``."""


class Door:
    """Serves one function on 127.0.0.1 for the browsers that opened a one-use address."""

    def __init__(self, target_url: str, token: Token) -> None:
        self._target_url = target_url.rstrip("/")
        self._token_source = token
        self._token: str | None = None
        self._token_until = 0.0
        self._token_lock = asyncio.Lock()
        self._keys: set[str] = set()
        self._secret = secrets.token_urlsafe(32)
        self._root = f"/{secrets.token_urlsafe(24)}"
        self._port = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen; raises ``Failure`` if the port is taken."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Failure(f"Port {port} is taken on this machine. Choose one: --port") from error
        self._port = self._runner.addresses[0][1]
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
            ),
        )

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def address(self, path: str) -> str:
        """Return an address that lets one browser in, once."""
        key = secrets.token_urlsafe(32)
        self._keys.add(key)
        return f"http://127.0.0.1:{self._port}{path}?{KEY_PARAMETER}={key}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return _plain(403, refusal)
        if request.method not in METHODS:
            return _plain(405, f"Only {', '.join(sorted(METHODS))} pass here.")
        key = request.query.get(KEY_PARAMETER, "")
        if request.method == "GET" and key in self._keys:
            self._keys.remove(key)
            path = str(request.rel_url.without_query_params(KEY_PARAMETER))
            answer = _redirecting(self._root + path)
            answer.set_cookie(
                COOKIE, self._secret, path=self._root, httponly=True, samesite="Strict"
            )
            return answer
        # The whole part: "/SECRET@evil.example" would change the host that the token is sent to.
        in_place = _equal(request.raw_path[: len(self._root) + 1], f"{self._root}/")
        if not in_place or not _equal(request.cookies.get(COOKIE, ""), self._secret):
            site = request.headers.get("Sec-Fetch-Site")
            if in_place and _is_navigation(request) and site not in _OWN_SITES:
                # A link of another site comes without a strict cookie; its repetition has it.
                return _redirecting(request.raw_path)
            return _plain(
                403, "Run `transcripts open`, and open the address that it prints; it works once."
            )
        try:
            return await self._forward(request)
        except Failure as error:
            return _plain(502, error.message)
        except (aiohttp.ClientError, TimeoutError):
            return _plain(502, f"{self._target_url} does not answer. Try again.")

    def _refusal(self, request: web.Request) -> str | None:
        """Return why a request is refused, None if it may pass."""
        own = f"127.0.0.1:{self._port}"
        if not request.raw_path.startswith("/"):
            # Anything else would change the host that the token is sent to.
            return "Only a path may be requested."
        if request.headers.getall("Host", []) != [own]:
            return f"This address is http://{own}."
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            origin = request.headers.get("Origin")
            foreign = origin is not None and origin != f"http://{own}"
        else:
            foreign = site not in _OWN_SITES and not _is_navigation(request)
        return "Another site has made this request." if foreign else None

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            raise RuntimeError("start the proxy first")
        headers = _without(_NOT_SENT, request.headers.items())
        headers[ROOT_HEADER] = self._root
        cookies = [f"{name}={value}" for name, value in request.cookies.items() if name != COOKIE]
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        if token := await self._current_token():
            headers["Authorization"] = f"Bearer {token}"
        body = await request.read() if request.can_read_body else None
        async with self._session.request(
            request.method,
            URL(self._target_url + request.raw_path.removeprefix(self._root), encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
        ) as received:
            if received.status == 401:
                self._token_until = 0.0
            answer = web.StreamResponse(
                status=received.status, headers=_without(_HOP_BY_HOP, received.headers.items())
            )
            await answer.prepare(request)
            try:
                async for chunk in received.content.iter_any():
                    await answer.write(chunk)
            except aiohttp.ClientError:
                # The browser must see that the page is not whole: no regular end is written.
                if request.transport is not None:
                    request.transport.abort()
                return answer
            await answer.write_eof()
            return answer

    async def _current_token(self) -> str | None:
        async with self._token_lock:
            if time.monotonic() >= self._token_until:
                self._token = await asyncio.to_thread(self._token_source)
                self._token_until = time.monotonic() + TOKEN_AGE_S
            return self._token


def _equal(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), secret.encode())


def _is_navigation(request: web.Request) -> bool:
    """Tell whether a reader followed a link from another site: that site cannot read the page."""
    headers = request.headers
    return (
        request.method in ("GET", "HEAD")
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def _without(names: frozenset[str], headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in names)


def _redirecting(path: str) -> web.Response:
    """Let the page itself go to ``path``: after a 303 the site that led here would still count."""
    headers = {
        "Refresh": f"0; url={path}",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    # Without the empty icon, browsers ask for one.
    page = f'<link rel="icon" href="data:,"><a href="{html.escape(path)}">Transcripts</a>'
    return web.Response(text=page, content_type="text/html", headers=headers)


def _plain(status: int, text: str) -> web.Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, text=f"{text}\n", headers=headers)

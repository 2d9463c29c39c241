"""Loads entries as the framework does, and sends them requests over ASGI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import functions_framework
import httpx
import pytest

from cli.local.processes import FUNCTIONS


@dataclass(frozen=True)
class Loaded:
    """An entry: its module, and its application."""

    module: ModuleType
    app: Any

    def compose(self, **fakes: Any) -> None:
        """Build the function anew around ``fakes``, the arguments of the entry's ``compose``."""
        module: Any = self.module
        module.handle = module.compose(module.settings, **fakes)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Send HTTP requests to the entry, without a network."""
        transport = httpx.ASGITransport(self._serve, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client

    async def raw(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        path: str = "/",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call it with exactly these ASGI messages, as a server does for a broken client."""
        queue = list(messages)
        answer = Answer()

        async def receive() -> Mapping[str, Any]:
            answer.received += 1
            return queue.pop(0) if queue else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            answer.take(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        await self._serve(scope, receive, send)
        return answer

    async def _serve(self, *call: Any) -> None:
        """Answer in a task of its own, as the server does: what a request sets ends with it."""
        await asyncio.create_task(self.app(*call))


@dataclass
class Answer:
    """The answer that an application sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    received: int = 0

    def take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message.get("body", b"")


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    """Return the ASGI message of a piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def load(name: str, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Load an entry with these settings."""
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    app = functions_framework.create_app(name, str(FUNCTIONS / f"{name}.py"))
    return Loaded(sys.modules[name], app)

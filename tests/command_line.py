"""The `transcripts` command in tests: run in this process, against servers that tests control."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import click
import msgspec
import pytest
import uvicorn
from click.testing import CliRunner, Result

from cli.local.state import LocalStack, write_state
from cli.main import main
from tests.description import check_answer
from transcripts.errors import ErrorAnswer, ErrorContent


def transcripts(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command, off a terminal; the result has stdout, stderr and the exit code."""
    return CliRunner(env=dict(env or {})).invoke(main, list(arguments))


def is_command_line(text: str) -> bool:
    """Tell whether every option and argument of a ``transcripts`` command is accepted."""
    _, name, *arguments = shlex.split(text)
    context = click.Context(main)
    command = cast(click.Group, main).get_command(context, name)
    if command is None:
        return False
    try:
        with command.make_context(name, arguments, parent=context):
            return True
    except click.UsageError:
        return False


@dataclass(frozen=True)
class Request:
    """A request that a server has received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """A prepared answer; ``length`` announces more bytes than ``body`` has, to break off.

    The content is one of the types of ``answers``, or JSON of another server. Bytes are sent as
    they are: for what is no answer of a function.
    """

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else msgspec.json.encode(self.content)


def error(status: int, code: str, message: str, **details: Any) -> Reply:
    """Return an error in the one shape of the functions."""
    return Reply(status, ErrorAnswer(ErrorContent(code, message, details)))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report every error but that of a client that has gone, as some tests let it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Gives prepared answers to ``METHOD /path``, in order; the last one stays."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: dict[str, list[Reply]] = {}
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                script._handle(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any  # noqa: N815 - required names

            def log_message(self, *_: Any) -> None:
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def on(self, request: str, *replies: Reply) -> None:
        """Prepare the answers to a request such as ``GET /tasks``; a query does not count.

        Raises ``jsonschema.ValidationError`` for content that docs/openapi.yaml does not describe.
        """
        method, _, path = request.partition(" ")
        for reply in replies:
            if reply.content is not None and not isinstance(reply.content, bytes):
                check_answer(method, path, reply.status, json.loads(reply.body))
        self._replies[request] = list(replies)

    def of(self, request: str) -> list[Request]:
        """Return the requests of a kind that were received."""
        return [
            each
            for each in self.requests
            if f"{each.method} {each.path.partition('?')[0]}" == request
        ]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in handler.headers.items()}
        request = Request(handler.command, handler.path, headers, body)
        self.requests.append(request)
        replies = self._replies.get(f"{handler.command} {handler.path.partition('?')[0]}", [])
        reply = (
            error(404, "not_found", "There is nothing at this path.")
            if not replies
            else (replies.pop(0) if len(replies) > 1 else replies[0])
        )
        handler.send_response(reply.status)
        if reply.content is not None and not isinstance(reply.content, bytes):
            handler.send_header("Content-Type", "application/json")
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(reply.length or len(reply.body)))
        if reply.length:
            handler.close_connection = True
            handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(reply.body)

    @contextmanager
    def running(self) -> Iterator[ScriptedServer]:
        """Serve, in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def use_as_stack(server: ScriptedServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands take a server for every part of a local stack, in a folder of their own."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    stack = LocalStack(
        pid=os.getpid(),
        backend="embedded",
        data_dir=str(folder),
        urls={"results": server.url, "submit": server.url},
        bucket="uploads",
        bucket_url=server.url,
        callback_url="",
    )
    write_state(folder / "stack.json", stack)
    monkeypatch.setenv("TRANSCRIPTS_STACK", str(folder / "stack.json"))


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread, and give its address."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    started = threading.Event()
    startup = server.startup

    async def notify(*arguments: Any, **options: Any) -> None:
        await startup(*arguments, **options)
        started.set()

    server.startup = notify  # type: ignore[method-assign] # it has no hook
    thread.start()
    try:
        assert started.wait(10)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

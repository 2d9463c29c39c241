"""Both ends of an upload, each at the rate of a line: a bucket and a receiver.

They run in processes of their own (``python -m tests.bench.line``), so that their CPU time is not
the upload's. The name of an object says its size: ``100000000-1.mp4``.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Final

import google_crc32c

PATTERN: Final = Random(1).randbytes(1024 * 1024)
PIECE_BYTES: Final = 64 * 1024
BUFFER_BYTES: Final = 512 * 1024
"""How much the sockets hold, so that the rate of the line is the rate of the other side."""

CATCH_UP_S: Final = 0.02
"""How much time of a line may be made up for: the processes share two cores."""


class Line:
    """A line with a rate in bytes a second, which all connections share."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0
        self._lock = threading.Lock()

    def carry(self, number: int) -> None:
        """Return when the line has carried this many bytes."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - CATCH_UP_S) + number / self._rate
            wait_s = self._free_at - now
        if wait_s > 0:
            time.sleep(wait_s)


@cache
def checksum(size: int) -> str:
    """Return the crc32c of an object, as Cloud Storage writes it."""
    whole = google_crc32c.Checksum()
    for start in range(0, size, len(PATTERN)):
        whole.update(PATTERN[: size - start])
    return b64encode(whole.digest()).decode()


class Server(ThreadingHTTPServer):
    """One end of a line; the first byte of a download comes after ``first_byte_s``."""

    request_queue_size = 64

    def __init__(self, line: Line, first_byte_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.line, self.first_byte_s = line, first_byte_s
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.server_bind()
        self.server_activate()


class Handler(BaseHTTPRequestHandler):
    """Answers GET like Cloud Storage's JSON API, and takes each body that is posted."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Describe an object, or send its bytes, or a range of them."""
        name = self.path.partition("?")[0].rpartition("/")[2]
        size = int(name.partition("-")[0])
        if not self.path.startswith("/download/"):
            attributes = {"bucket": "bench", "name": name, "generation": "1", "size": str(size)}
            self._answer(200, json.dumps({**attributes, "contentType": "video/mp4"}).encode())
            return
        first, last, status, headers = 0, size - 1, 200, {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{size}"}
        time.sleep(self.server.first_byte_s)
        headers |= {"X-Goog-Generation": "1", "X-Goog-Hash": f"crc32c={checksum(size)}"}
        self._head(status, last - first + 1, headers)
        pattern = memoryview(PATTERN)
        while first <= last:
            at = first % len(pattern)
            piece = pattern[at : at + min(PIECE_BYTES, last - first + 1)]
            self.server.line.carry(len(piece))
            self.connection.sendall(piece)
            first += len(piece)

    def do_POST(self) -> None:
        """Take the body at the rate of the line."""
        piece = memoryview(bytearray(PIECE_BYTES))
        left = int(self.headers["Content-Length"])
        while left and (received := self.rfile.readinto1(piece[:left])):
            self.server.line.carry(received)
            left -= received
        self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self._head(status, len(body), {"Content-Type": "application/json"})
        self.connection.sendall(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def line_end(rate: float, first_byte_s: float = 0.0) -> Iterator[str]:
    """Run one end in a process; give its URL. ``rate`` is in bytes a second."""
    process = subprocess.Popen(  # noqa: S603 - our own fixed command
        [sys.executable, "-m", "tests.bench.line", str(rate), str(first_byte_s)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    served = Server(Line(float(sys.argv[1])), float(sys.argv[2]))
    print(served.server_port, flush=True)
    served.serve_forever()

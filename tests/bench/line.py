"""Both ends of an upload, each at the rate of a line: a bucket and a receiver.

They run in processes of their own (``python -m tests.bench.line``), so that their CPU time is not
the upload's. The name of an object says its size: ``100000000-1.mp4``.
"""

from __future__ import annotations

import argparse
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
from random import Random
from typing import Final

import google_crc32c

PATTERN: Final = Random(1).randbytes(1024 * 1024)
PIECE_BYTES: Final = 64 * 1024
BUFFER_BYTES: Final = 512 * 1024
"""How much the sockets hold, so that the rate of the line is the rate of the other side."""

CATCH_UP_S: Final = 0.02
"""How much time of a line may be made up for: the processes share two cores."""

_SIZE: Final = re.compile(rb"/(?:o/)?([0-9]+)-[0-9]+\.mp4")
_RANGE: Final = re.compile(rb"\r\nrange: *bytes=([0-9]+)-([0-9]*)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


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


def _head(connection: socket.socket, received: bytes) -> tuple[bytes, bytes]:
    """Return the head of a request, and what has arrived of its body; nothing at the end."""
    while b"\r\n\r\n" not in received:
        more = connection.recv(PIECE_BYTES)
        if not more:
            return b"", b""
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


class Bucket:
    """Answers like Cloud Storage's JSON API; the first byte of a download comes after a while."""

    def __init__(self, line: Line, first_byte_s: float) -> None:
        self._line = line
        self._first_byte_s = first_byte_s

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        rest = b""
        while True:
            head, rest = _head(connection, rest)
            found = _SIZE.search(head)
            if found is None:
                return
            size = int(found[1])
            if head.startswith(b"GET /download/"):
                self._download(connection, head, size)
            else:
                self._describe(connection, found[0].rpartition(b"/")[2].decode(), size)

    def _describe(self, connection: socket.socket, name: str, size: int) -> None:
        attributes = {"bucket": "bench", "name": name, "generation": "1", "size": str(size)}
        body = json.dumps({**attributes, "contentType": "video/mp4"}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)

    def _download(self, connection: socket.socket, head: bytes, size: int) -> None:
        first, last, status, more = 0, size - 1, "200 OK", ""
        wanted = _RANGE.search(head)
        if wanted is not None:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            status = "206 Partial Content"
            more = f"Content-Range: bytes {first}-{last}/{size}\r\n"
        time.sleep(self._first_byte_s)
        answer = (
            f"HTTP/1.1 {status}\r\nContent-Length: {last - first + 1}\r\n{more}"
            f"X-Goog-Generation: 1\r\nX-Goog-Hash: crc32c={checksum(size)}\r\n\r\n"
        )
        connection.sendall(answer.encode())
        pattern = memoryview(PATTERN)
        while first <= last:
            at = first % len(pattern)
            piece = pattern[at : at + min(PIECE_BYTES, last - first + 1)]
            self._line.carry(len(piece))
            connection.sendall(piece)
            first += len(piece)


class Receiver:
    """Takes each body at the rate of the line, and answers 200."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        piece = bytearray(PIECE_BYTES)
        rest = b""
        while True:
            head, rest = _head(connection, rest)
            length = _LENGTH.search(head)
            if length is None:
                return
            left = int(length[1]) - len(rest)
            rest = b""
            while left:
                received = connection.recv_into(piece, min(left, PIECE_BYTES))
                if not received:
                    return
                self._line.carry(received)
                left -= received
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def _serve(end: Bucket | Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_served, args=(end, connection), daemon=True).start()


def _served(end: Bucket | Receiver, connection: socket.socket) -> None:
    with connection:
        try:
            end.serve(connection)
        except ConnectionError:
            return


@contextmanager
def line_end(end: str, rate: float, first_byte_s: float = 0.0) -> Iterator[str]:
    """Run ``bucket`` or ``receiver`` in a process; give its URL. Rate in bytes a second."""
    options = ["--rate", str(rate), "--first-byte-s", str(first_byte_s)]
    process = subprocess.Popen(  # noqa: S603 - our own fixed command
        [sys.executable, "-m", "tests.bench.line", end, *options], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve one end until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("end", choices=["bucket", "receiver"])
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--first-byte-s", type=float, required=True)
    options = parser.parse_args()
    line = Line(options.rate)
    _serve(Bucket(line, options.first_byte_s) if options.end == "bucket" else Receiver(line))


if __name__ == "__main__":
    main()

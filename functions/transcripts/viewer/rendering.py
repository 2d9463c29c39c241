"""HTML from templates, and the files beside it: the stylesheet, the script and the icon.

Jinja2 escapes every value, and the headers forbid anything inline. Addresses of files hold the
version of their content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from transcripts import VERSION
from transcripts.cost import COST_BASIS, cost
from transcripts.errors import RequestError

if TYPE_CHECKING:
    from jinja2 import Environment

HTML: Final = "text/html; charset=utf-8"

HEADERS: Final = {
    # A file that the reader picks is played from a blob: address, and is never uploaded.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; media-src 'self' blob: https://storage.googleapis.com; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every page, beside ``Cache-Control`` and ``nosniff``, which every answer of results has."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STATIC: Final = Path(__file__).parent / "static"

ROOT_HEADER: Final = "Transcripts-Root"
_ROOT: Final = re.compile(r"/[A-Za-z0-9_-]{1,100}")

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_VERSION_CHARS: Final = 12
_FOREVER: Final = "private, max-age=31536000, immutable"


@cache
def _environment() -> Environment:
    # Imported by the first page: most instances start for the request of a program.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": clock,
        "cost": cost,
        "initials": initials,
        "moment": moment,
        "percent": percent,
        "plain_code": plain_code,
    }
    environment.globals |= {"asset_path": asset_path, "cost_basis": COST_BASIS, "version": VERSION}
    return environment


def root(request: Request) -> str:
    """Return what stands before every path of this site for the browser: "" or one part of a path.

    `transcripts open` serves the site below a part that only its own pages know.
    """
    given = request.headers.get(ROOT_HEADER, "")
    return given if _ROOT.fullmatch(given) else ""


def page(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer a page whose values are all known."""
    content = b"".join(pieces(template, {**context, "root": root(request)}))
    return Response(content, status, {**HEADERS, **(headers or {})}, HTML)


def pieces(template: str, context: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a page in small pieces, and take the items of iterators only as they are written.

    UTF-8 has no bytes for half of a surrogate pair, which stored text may hold; a question mark
    stands for it.
    """
    for piece in _environment().get_template(template).generate(context):
        yield piece.encode(errors="replace")


def clock(milliseconds: int) -> str:
    """Return a position in the media: ``2:03`` or ``1:02:03``."""
    minutes, second = divmod(milliseconds // 1000, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def initials(name: str) -> str:
    """Return the first letters or digits of the first and the last word of a name.

    They stand for the picture of a speaker. Mavi names pictures in a bucket of its own, which
    only Mavi may read.
    """
    words = [first for word in name.split() if (first := next(filter(str.isalnum, word), ""))]
    return "".join(words[:1] + words[1:][-1:]).upper() or "?"


def moment(time: datetime) -> str:
    """Return a time in UTC, to the minute; the script shows it in the reader's time zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def percent(share: float) -> str:
    """Return a share of 0 to 1 in whole percent, and never 0 for something."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def plain_code(code: str) -> str:
    """Return a code such as ``too_large`` as words."""
    words = code.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


@cache
def assets() -> Mapping[str, bytes]:
    """Return the content of every file by its name."""
    found = sorted(path for path in _STATIC.iterdir() if path.suffix in MEDIA_TYPES)
    return {path.name: path.read_bytes() for path in found}


@cache
def _version() -> str:
    """Return the version of all files: a script imports another one from its own folder."""
    contents = b"".join(hashlib.sha256(content).digest() for content in assets().values())
    return hashlib.sha256(contents).hexdigest()[:_VERSION_CHARS]


def asset_path(name: str) -> str:
    """Return the address of a file, which changes with the content of any file."""
    return f"/viewer/{_version()}/{name}"


async def show_asset(request: Request) -> Response:
    """Answer a file; browsers keep it for a year if the address has the version of now.

    During a deployment, an old instance may be asked for a new version. No browser keeps that.
    """
    name = request.path_params["name"]
    content = assets().get(name)
    if content is None:
        raise RequestError("There is no such file.", code="not_found", status=404)
    current = request.path_params["version"] == _version()
    headers = {
        "Cache-Control": _FOREVER if current else "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(content, 200, headers, MEDIA_TYPES[PurePosixPath(name).suffix])

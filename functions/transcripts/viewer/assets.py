"""The stylesheet, the script and the icon: files of the package, with a version in the address."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from transcripts.errors import RequestError

MEDIA_TYPES: Final[Mapping[str, str]] = {
    "viewer.css": "text/css; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

_FOLDER: Final = Path(__file__).parent / "static"
_VERSION_CHARS: Final = 12
_FOREVER: Final = "private, max-age=31536000, immutable"


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def _version(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:_VERSION_CHARS]


def asset_path(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    return f"/viewer/{name}?v={_version(name)}"


async def show_asset(request: Request) -> Response:
    """Answer a file; browsers keep it for a year if the address has the version of its content.

    During a deployment, an old instance may be asked for a new version. No browser keeps that.
    """
    name = request.path_params["name"]
    if name not in MEDIA_TYPES:
        raise RequestError("There is no such file.", code="not_found", status=404)
    current = request.query_params.get("v") == _version(name)
    headers = {
        "Cache-Control": _FOREVER if current else "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(_content(name), 200, headers, MEDIA_TYPES[name])

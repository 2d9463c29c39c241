"""HTML from templates: Jinja2 escapes every value, and the headers forbid anything inline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from transcripts.viewer import words
from transcripts.viewer.assets import asset_path

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
        "clock": words.clock,
        "cost": words.cost,
        "initials": words.initials,
        "moment": words.moment,
        "percent": words.percent,
        "plain_code": words.plain_code,
    }
    environment.globals |= {"asset_path": asset_path, "cost_basis": words.COST_BASIS}
    return environment


def page(
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer a page whose values are all known."""
    content = b"".join(pieces(template, context))
    return Response(content, status, dict(headers or {}), HTML)


def pieces(template: str, context: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a page in small pieces, and take the items of iterators only as they are written.

    UTF-8 has no bytes for half of a surrogate pair, which stored text may hold; a question mark
    stands for it.
    """
    for piece in _environment().get_template(template).generate(context):
        yield piece.encode(errors="replace")

"""Compression of text for clients that ask for it."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request

from transcripts.web import Handler

LEVEL: Final = 4
"""zlib's levels are 1 to 9. Of a page of 20,000 lines (4.9 MB), level 4 leaves 0.77 MB in 0.05 s,
and level 9 leaves 0.68 MB in 0.17 s."""

MINIMUM_BYTES: Final = 1024

_COMPRESSED_ALREADY: Final = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
)


def compressed(handler: Handler) -> Handler:
    """Decorate an entry: an answer is compressed with gzip if the client accepts it.

    What another site asks for is not: it could learn from the length of an answer whether a text
    stands in it (https://www.breachattack.com). A compressed answer is another representation, so
    its entity tag is weak (https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1).
    """

    @wraps(handler)
    async def answer_compressed(request: Request) -> Any:
        answer = await handler(request)
        accepted = request.headers.get("accept-encoding") or ""
        if "gzip" not in accepted or request.headers.get("sec-fetch-site") == "cross-site":
            answer.headers.add_vary_header("Accept-Encoding")
            return answer
        if tag := answer.headers.get("ETag"):
            answer.headers["ETag"] = f"W/{tag}"
        return GZipMiddleware(
            answer, MINIMUM_BYTES, LEVEL, exclude_content_types=_COMPRESSED_ALREADY
        )

    return answer_compressed

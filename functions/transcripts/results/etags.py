"""Entity tags: what a reader sends back to learn whether a task has changed."""

from __future__ import annotations

import hashlib

from transcripts.ports import Version


def etag(version: Version) -> str:
    """Return the tag of one state of a document, quoted (https://google.aip.dev/154)."""
    return f'"{hashlib.sha256(version).hexdigest()[:24]}"'


def matches(header: str | None, tag: str) -> bool:
    """Tell whether a header such as ``If-None-Match`` names ``tag``, or any tag by ``*``.

    Proxies that compress mark a tag as weak; it means the same state
    (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2).
    """
    if header is None:
        return False
    given = [each.strip().removeprefix("W/") for each in header.split(",")]
    return tag in given or given == ["*"]

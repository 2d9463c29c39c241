"""The trace that a request belongs to, and how it travels on to what the request causes.

It is written as W3C's ``traceparent`` (https://www.w3.org/TR/trace-context/#traceparent-header):
the ids of the trace and of the calling span, in hex. A task of the queue takes it along in a header
and a message in an attribute. So one upload is one trace from its event to its purchase, and one
result is another from its callback to its event, since Mavi posts callbacks without our trace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final = "traceparent"
"""The name of the header, and of the attribute of a message. Google's clients use
``googclient_traceparent``, but Pub/Sub refuses all but a few names that begin with ``goog``
(https://github.com/googleapis/nodejs-pubsub/issues/1389), and a callback must not depend on that.
"""

# All zeros are no id; later versions may append fields.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?:-|\Z)"
)
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header; its span id is decimal.
_CLOUD_TRACE: Final = re.compile(r"([0-9a-f]{32})/([0-9]{1,20})(?:;o=([01]))?")

_current: ContextVar[str] = ContextVar("traceparent", default="")


def begin(headers: Mapping[str, str]) -> None:
    """Let what follows in this context belong to the trace of a request, or to a new one."""
    context = ""
    if found := _CLOUD_TRACE.match(headers.get("x-cloud-trace-context", "")):
        context = _read(f"00-{found[1]}-{int(found[2]):016x}-0{found[3] or 0}")
    context = context or _read(headers.get(TRACEPARENT, ""))
    _current.set(context or f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00")


def continue_from(attributes: Mapping[str, str]) -> None:
    """Let what follows in this context belong to the trace of a message, if that has one."""
    if context := _read(attributes.get(TRACEPARENT, "")):
        _current.set(context)


def traceparent() -> str:
    """Return what this context belongs to; nothing outside a request."""
    return _current.get()


def with_trace(attributes: dict[str, str]) -> dict[str, str]:
    """Return the attributes of a message that this request causes."""
    context = _current.get()
    return {**attributes, TRACEPARENT: context} if context else attributes


def _read(text: str) -> str:
    found = _TRACEPARENT.match(text)
    return "00" + found[1] if found else ""

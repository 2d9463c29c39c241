"""Entity tags: what a reader sends back to learn whether a task has changed.

A tag has two parts: the version of the document, and which name each speaker had. So a change of
one name can tell another change of the same name from a change that does not concern it, and
nothing is stored for that.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from transcripts.ports import Version
from transcripts.tasks.speakers import name_key
from transcripts.tasks.task import Task

_MAX_NAMES: Final = 100
"""With more names the tag has no second part: servers limit the length of a header."""

_MARK_CHARS: Final = 6
_TAG: Final = re.compile(r'"[0-9a-f]{24}\.([\w-]{6})((?:[\w-]{12})*)"')


def etag(version: Version, task: Task) -> str:
    """Return the tag of one state of a task, quoted (https://google.aip.dev/154)."""
    tag = hashlib.sha256(version).hexdigest()[:24]
    if len(task.speaker_names) <= _MAX_NAMES:
        names = "".join(
            _mark(name_key(each.name)) + _mark(each.display_name) for each in task.speaker_names
        )
        tag += f".{_result_mark(task)}{names}"
    return f'"{tag}"'


def matches(header: str | None, tag: str) -> bool:
    """Tell whether a header such as ``If-None-Match`` names ``tag``, or any tag by ``*``.

    A compressed answer has a weak tag; it means the same state
    (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2).
    """
    if header is None:
        return False
    given = _tags(header)
    return tag in given or given == ["*"]


def names_match(header: str, tag: str, task: Task, names: Iterable[str]) -> bool:
    """Tell whether these names of speakers are those of a tag in ``If-Match``.

    ``tag`` is that of ``task`` now. Another result changes who a name stands for, so it matches
    no tag of an earlier one.
    """
    if matches(header, tag):
        return True
    now = {_mark(name_key(each.name)): _mark(each.display_name) for each in task.speaker_names}
    keys = [_mark(name_key(name)) for name in names]
    for found in map(_TAG.fullmatch, _tags(header)):
        if found and found[1] == _result_mark(task):
            marks = re.findall(f".{{{_MARK_CHARS}}}", found[2])
            then = dict(zip(marks[::2], marks[1::2], strict=True))
            if all(then.get(key) == now.get(key) for key in keys):
                return True
    return False


def _tags(header: str) -> list[str]:
    return [each.strip().removeprefix("W/") for each in header.split(",")]


def _result_mark(task: Task) -> str:
    return _mark(f"{task.task_id} {task.revision}")


def _mark(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest)[:_MARK_CHARS].decode()

"""CPU time from a push body to encoded Firestore writes, against the conventional way."""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import process_time
from typing import Any, Final

import msgspec
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from pydantic import BaseModel

from tests.bench.figures import Figures, medians
from tests.builders import callback_body, push_body
from transcripts.callbacks.message import pack
from transcripts.google.documents import encode_commit
from transcripts.ports import ABSENT
from transcripts.push import read_push
from transcripts.tasks.merge import merge
from transcripts.tasks.recorder import prepare
from transcripts.tasks.store import result_writes

COUNTS: Final = (50, 500, 5_000, 20_000)
DATABASE: Final = "projects/bench/databases/(default)"


class _Segment(BaseModel):
    start_time: float
    end_time: float
    speaker: str
    text: str


class _Inner(BaseModel):
    audio_transcription: list[_Segment]
    faces: list[dict[str, Any]]
    usage_metadata: list[dict[str, Any]]


class _Data(BaseModel):
    msg: str
    success: bool
    data: _Inner


class _Callback(BaseModel):
    code: str | int
    message: str
    task_id: str
    data: _Data


def conventional(client: firestore.Client, body: bytes) -> None:
    """Do it as the samples do: a pydantic model, then the client's own encoding of a dict.

    A batch encodes what it is given, and does not serialize it before its commit.
    """
    envelope = json.loads(body)
    data = base64.b64decode(envelope["message"]["data"])
    callback = _Callback.model_validate_json(data)
    document = {
        "task_id": callback.task_id,
        "status": "succeeded",
        **callback.data.data.model_dump(),
    }
    client.batch().create(client.document("tasks", callback.task_id), document)


def ours(body: bytes) -> None:
    """Do the subscriber's work between its read and its commit, raw block included."""
    now = datetime.now(UTC)
    result, raw = prepare(read_push(body), now, 0)
    *earlier, last = result_writes(merge(None, result), raw, ABSENT)
    for writes in (*earlier, last):
        encode_commit(DATABASE, writes).SerializeToString()


def _cpu_ms(work: Callable[[bytes], None], body: bytes) -> float:
    begin = process_time()
    work(body)
    return (process_time() - begin) * 1e3


def measure(rounds: int) -> dict[str, Figures]:
    """Return the median CPU time of both ways, by the number of segments."""
    found: dict[str, Figures] = {}
    client = firestore.Client("bench", credentials=AnonymousCredentials())
    for count in COUNTS:
        data = callback_body(segments=count)
        task_id = msgspec.json.decode(data)["task_id"]
        packed = pack(data, datetime.now(UTC), {"task_id": task_id})
        # Each reads what its own callback function publishes.
        plain, compressed = push_body(data, {}), push_body(packed.data, packed.attributes)
        gc.collect()
        gc.freeze()

        def both(plain: bytes = plain, compressed: bytes = compressed) -> Figures:
            theirs = _cpu_ms(partial(conventional, client), plain)
            return {"conventional_ms": theirs, "cpu_ms": _cpu_ms(ours, compressed)}

        found |= medians(rounds, {f"{count:,}": both})
    return found

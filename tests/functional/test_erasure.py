"""Nothing of a deleted task is in the embedded backend's files, byte for byte."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from tests.builders import callback_body, push_body, segment
from tests.contracts.changing import ADA, BEN, OBJECT
from tests.fakes import NOW, LogLines
from transcripts.callbacks.message import compress, pack
from transcripts.changes.deletion import Deletion
from transcripts.changes.speaker_names import SpeakerNames
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.ports import Write
from transcripts.retry import Retrier
from transcripts.submissions.submission import State, Submission, submission_path
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source, Task, task_path

WORDS = "the secret of the north wall"


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_delete_leaves_no_byte_in_the_file(tmp_path: Path) -> None:
    """Neither names nor texts nor the object's name, once the database is closed."""
    database = Database(tmp_path)
    documents, lines, retrier = SqliteDocuments(database), LogLines(), Retrier()
    entry = Submission(
        submission_id="s",
        state=State.SUBMITTED,
        source=Source(OBJECT, "1"),
        filename="Mr-Secret.mp4",
        task_id="t",
        created_at=NOW,
        updated_at=NOW,
    )
    side = Task(task_id="t", submission_id="s", source=Source(OBJECT, "1"))
    await documents.commit(Write(submission_path("s"), entry), Write(task_path("t"), side))
    body = callback_body([segment(n, text=f"{WORDS} {n}") for n in range(12_000)], task_id="t")
    message = pack(body, NOW, {"task_id": "t"})
    recorder = Recorder(TaskStore(documents, retrier), 0, lines.log, lambda: NOW)
    await recorder.record(push_body(message.data, message.attributes))
    await SpeakerNames(documents, retrier).rename("t", {ADA: "Countess"})
    personal = [word.encode() for word in (ADA, BEN, WORDS, "Mr-Secret", "Countess")]
    before = bytes_of(tmp_path)
    assert [word for word in personal if word not in before] == []
    # A raw body is kept as base64 of its compressed form, which the file's pages cut in pieces.
    raw = b64encode(compress(body))
    pieces = [raw[at : at + 40] for at in range(0, len(raw) - 40, 1000)]
    raw_pieces = [piece for piece in pieces if piece in before]
    assert len(raw_pieces) > 10
    assert await Deletion(documents, retrier, lines.log, lambda: NOW).delete_task("t") == []
    database.close()
    left = bytes_of(tmp_path)
    assert b"deleted_revisions" in left
    assert [word for word in [*personal, *raw_pieces] if word in left] == []
    assert [word for word in personal if word in b"".join(lines.raw)] == []

"""The real function ``results`` for the command line: served, on the embedded backend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.local.state import LocalStack, write_state
from tests.builders import callback_body
from tests.command_line import served, transcripts
from tests.fakes import NOW
from tests.functional.framework import load
from tests.results import Results
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.retry import Retrier
from transcripts.tasks.normalize import normalize
from transcripts.tasks.store import TaskStore


async def remove(path: str) -> None:
    raise NotImplementedError(path)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Results]:
    """The real function, served; the command finds it through the environment."""
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(tmp_path / "data")}
    loaded = load("results", environ, monkeypatch)
    documents = SqliteDocuments(Database(tmp_path / "data"))
    results = Results(loaded, documents, remove)
    monkeypatch.chdir(tmp_path)

    with served(loaded.app) as url:
        monkeypatch.setenv("TRANSCRIPTS_URL", url)
        yield results
    documents._database.close()


@pytest.fixture
def local_stack(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    """The state file of a local stack whose results is the served one."""
    stack = LocalStack(
        pid=os.getpid(),
        backend="embedded",
        data_dir=str(tmp_path / "data"),
        urls={"results": os.environ["TRANSCRIPTS_URL"], "submit": "http://127.0.0.1:1"},
        bucket="uploads",
        bucket_url="http://127.0.0.1:1",
        callback_url="http://127.0.0.1:1/token",
    )
    write_state(tmp_path / "stack.json", stack)
    monkeypatch.delenv("TRANSCRIPTS_URL")
    monkeypatch.setenv("TRANSCRIPTS_STACK", str(tmp_path / "stack.json"))
    return stack


def do(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what prepares the store."""
    return asyncio.run(work)


def ok(*arguments: str, code: int = 0) -> Result:
    """Run a command that ends with ``code``."""
    result = transcripts(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


async def store(results: Results, task_id: str, *lines: dict[str, Any]) -> None:
    """Store a result of these segments, with the callback that it was made of."""
    body = callback_body(list(lines), task_id=task_id)
    result = normalize(
        read_envelope(body), revision="r1", received_at=NOW, stored_at=NOW, expires_at=None
    )
    await TaskStore(results.documents, Retrier()).save_result(result, compress(body))

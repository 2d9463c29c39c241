"""The function that people read from, on the Firestore emulator."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.contracts.changes import ChangesContract
from tests.contracts.results import ResultsContract
from tests.functional.framework import load
from tests.results import Results
from transcripts.backends import open_documents
from transcripts.ports import Delete

pytestmark = [pytest.mark.emulators, pytest.mark.untraced]


class OnFirestore:
    @pytest.fixture
    async def results(self, emulators: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Results:
        """Load the function with a project, and so a database, of its own."""
        environ = emulators | {"GOOGLE_CLOUD_PROJECT": f"p-{uuid4().hex[:12]}"}
        loaded = load("results", environ, monkeypatch)
        module: Any = loaded.module
        documents: Any = open_documents(module.settings, environ)

        async def remove(path: str) -> None:
            await documents.commit(Delete(path))

        return Results(loaded, documents, remove)


class TestOnFirestore(OnFirestore, ResultsContract):
    pass


class TestChangesOnFirestore(OnFirestore, ChangesContract):
    pass

"""Which backend stands behind a port, and when its library is imported."""

from __future__ import annotations

from pathlib import Path

from tests.environments import environment
from transcripts.backends import open_objects
from transcripts.embedded.objects import FolderObjects
from transcripts.google.objects import CloudStorageObjects
from transcripts.settings import SubmitSettings


def settings(**more: str) -> SubmitSettings:
    return SubmitSettings.load(environment("submit", **more))


def test_open_objects_of_google_leads_to_the_emulator_that_is_named() -> None:
    """Nothing connects, so it needs no identity."""
    objects = open_objects(settings(), {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"})
    assert isinstance(objects, CloudStorageObjects)


def test_open_objects_of_embedded_is_a_folder(tmp_path: Path) -> None:
    """No library of Google is needed."""
    embedded = settings(TRANSCRIPTS_BACKEND="embedded", TRANSCRIPTS_DATA_DIR=str(tmp_path))
    assert isinstance(open_objects(embedded, {}), FolderObjects)

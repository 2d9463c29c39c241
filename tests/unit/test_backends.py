"""Which backend stands behind a port, and when its library is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments import environment
from transcripts.backends import open_objects
from transcripts.embedded.objects import FolderObjects
from transcripts.google import objects as cloud_storage
from transcripts.settings import SubmitSettings
from transcripts.uploads.stored_object import StoredObject

STORED = StoredObject(bucket="uploads", name="a.mp4", generation="1")


class RecordingSource:
    """Stands for Cloud Storage, and records what it is asked."""

    def __init__(self, project: str) -> None:
        self.asked: list[object] = [project]

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        self.asked.append((bucket, name, generation))
        return STORED

    def open(self, stored: StoredObject) -> object:
        self.asked.append(stored)
        return stored


def settings(**more: str) -> SubmitSettings:
    return SubmitSettings.load(environment("submit", **more))


def test_open_objects_of_google_passes_every_call_to_one_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The source is made by the first call, with the project of the settings."""
    made: list[RecordingSource] = []

    def make(project: str) -> RecordingSource:
        made.append(RecordingSource(project))
        return made[-1]

    monkeypatch.setattr(cloud_storage, "CloudStorageObjects", make)
    objects = open_objects(settings())
    assert made == []
    assert objects.stat("uploads", "a.mp4", None) is STORED
    opened: object = objects.open(STORED)
    assert opened is STORED
    (source,) = made
    assert source.asked == ["p", ("uploads", "a.mp4", None), STORED]


def test_open_objects_of_embedded_is_a_folder(tmp_path: Path) -> None:
    """No library of Google is needed."""
    embedded = settings(TRANSCRIPTS_BACKEND="embedded", TRANSCRIPTS_DATA_DIR=str(tmp_path))
    assert isinstance(open_objects(embedded), FolderObjects)

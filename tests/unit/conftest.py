"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from tests.pipeline import Pipeline


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()

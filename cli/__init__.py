"""Programs for an operator's machine: the `transcripts` command, the local stack, the fake Mavi."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder of the checkout."""

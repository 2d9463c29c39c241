"""Where the system's Chromium is."""

from __future__ import annotations

import shutil
from typing import Final

MISSING: Final = "Debian and Ubuntu: apt-get install chromium. macOS: brew install --cask chromium."


def find_chromium() -> str | None:
    """Return the path of Chromium or Chrome, None if this machine has neither."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def chromium_installed() -> bool:
    """Tell whether the tests in a browser can run."""
    return find_chromium() is not None

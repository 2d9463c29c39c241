"""The token in the path of a callback."""

from __future__ import annotations

from typing import Any

import pytest

from transcripts.callbacks.tokens import TokenCheck
from transcripts.settings import Secret

TOKENS = ("first-token-of-thirty-two-characters", "second-token-of-thirty-two-character")
CHECK = TokenCheck([Secret(token) for token in TOKENS])


def scope(path: str) -> dict[str, Any]:
    return {
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "path_params": {"path": path[1:]},
        "method": "POST",
    }


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("token", TOKENS)
def test_check_live_token_is_true(token: str, slash: str) -> None:
    """Two tokens live during a rotation; one trailing slash is allowed."""
    assert CHECK(scope(f"/{token}{slash}"))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/x",
        f"/{TOKENS[0]}//",
        f"//{TOKENS[0]}",
        TOKENS[0],
        f"/{TOKENS[0]}x",
        f"/{TOKENS[0]}/x",
        "/ä\udcff",
    ],
)
def test_check_other_path_is_false(path: str) -> None:
    """A part of a token, a longer text, and bytes that are no text are all refused."""
    assert not CHECK(scope(path))


@pytest.mark.parametrize("path", [f"/{TOKENS[0]}", f"/{TOKENS[0]}x"])
def test_check_removes_the_path_from_the_scope(path: str) -> None:
    """The framework's later logs hold no token, not even a mistyped one."""
    checked = scope(path)
    CHECK(checked)
    assert TOKENS[0] not in repr(checked)
    assert checked["method"] == "POST"

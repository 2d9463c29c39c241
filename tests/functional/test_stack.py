"""The local stack: what it leaves when it ends, and when it cannot start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.local.stack import Stack, StackOptions


def stack_in(folder: Path) -> Stack:
    """Return a stack on the embedded backend, with one function."""
    state_file = folder / "stack.json"
    return Stack(
        StackOptions(data_dir=folder / "data", functions=("callback",), state_file=state_file)
    )


def addresses(stack: Stack) -> list[str]:
    """Return where the parts of a stack are served."""
    return [stack.mavi.url, stack.bucket.url, stack.url("callback")]


async def answers(url: str) -> bool:
    """Tell whether a port accepts connections."""
    try:
        _, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_stack_that_ends_leaves_nothing_running(tmp_path: Path) -> None:
    """Other commands find it only while it runs."""
    async with stack_in(tmp_path) as stack:
        assert (tmp_path / "stack.json").exists()
        assert [await answers(url) for url in addresses(stack)] == [True] * 3
        parts = addresses(stack)
    assert not (tmp_path / "stack.json").exists()
    assert [await answers(url) for url in parts] == [False] * 3


async def test_stack_that_cannot_start_stops_what_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt finds its ports free."""
    stack, parts = stack_in(tmp_path), list[str]()

    async def fail(_: object) -> None:
        parts.extend(addresses(stack))
        assert [await answers(url) for url in parts] == [True] * 3
        raise OSError("address in use")

    monkeypatch.setattr(stack, "_start_beside", fail)
    with pytest.raises(OSError, match="address in use"):
        async with stack:
            pytest.fail("It has started.")
    assert [await answers(url) for url in parts] == [False] * 3

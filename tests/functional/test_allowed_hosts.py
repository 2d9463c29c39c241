"""Which hosts a function of the local stack answers; in the cloud it answers any."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.local.stack import EMULATORS, Stack, StackOptions
from tests.functional.framework import Loaded, load
from transcripts.settings import EMBEDDED, FUNCTIONS, GOOGLE, ResultsSettings

PRIVATE = sorted(FUNCTIONS.keys() - {"callback"})
KEY = "0123456789"


def local(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    environ = {"TRANSCRIPTS_BACKEND": EMBEDDED, "TRANSCRIPTS_DATA_DIR": str(folder)}
    return load(name, environ | {"MAVI_API_KEY": KEY}, monkeypatch)


async def status(loaded: Loaded, host: str) -> int:
    async with loaded.client() as client:
        answer = await client.put("/nothing", headers={"Host": host})
    return answer.status_code


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("host", ["evil.example:8087", "127.0.0.1.nip.io", "localhost.", "0", ""])
async def test_local_function_refuses_a_foreign_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, host: str
) -> None:
    """A site may let its own name lead to this machine, and then read what the function answers."""
    assert await status(local(name, tmp_path, monkeypatch), host) == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8087", "localhost", "localhost:8087", "[::1]:8087"])
async def test_local_function_answers_a_host_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """With and without a port."""
    assert await status(local("results", tmp_path, monkeypatch), host) == 404


async def test_local_callback_answers_any_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mavi reaches it through a tunnel, by the tunnel's name; only its token counts."""
    monkeypatch.setenv("CALLBACK_TOKENS", "t" * 32)
    assert await status(local("callback", tmp_path, monkeypatch), "tunnel.example") != 421


async def test_function_in_the_cloud_answers_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloud Run leads only its own hosts here, and a load balancer brings others."""
    environ = {"TRANSCRIPTS_BACKEND": GOOGLE, "GOOGLE_CLOUD_PROJECT": "p"}
    loaded = load("results", environ, monkeypatch)
    assert await status(loaded, "transcripts.example.com") == 404


@pytest.mark.parametrize("backend", [EMBEDDED, EMULATORS])
def test_stack_allows_hosts_of_this_machine_only(tmp_path: Path, backend: str) -> None:
    """With emulators too, where the functions have the backend of the cloud."""
    stack = Stack(StackOptions(backend=backend, data_dir=tmp_path))
    hosts = ResultsSettings.load(stack.variables({})).allowed_hosts
    assert sorted(hosts) == ["127.0.0.1", "[::1]", "localhost"]

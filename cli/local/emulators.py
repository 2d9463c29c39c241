"""Google's official emulators of Pub/Sub and Firestore."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.local.processes import ChildProcess, ProcessFailed, free_port

MISSING: Final = """\
The official emulators are not installed. Install
  1. Java 17 or newer,
  2. the Google Cloud CLI: https://cloud.google.com/sdk/docs/install
  3. its emulators:  gcloud components install beta pubsub-emulator cloud-firestore-emulator
     (from Debian packages: google-cloud-cli-pubsub-emulator google-cloud-cli-firestore-emulator)
and try again; or leave BACKEND out, which needs none of it."""

_COMMANDS: Final = {
    "pubsub": ("beta", "emulators", "pubsub", "start"),
    "firestore": ("emulators", "firestore", "start"),
}
_VARIABLES: Final = {
    "pubsub": "PUBSUB_EMULATOR_HOST",
    "firestore": "FIRESTORE_EMULATOR_HOST",
}


class EmulatorsMissing(Exception):
    """gcloud or Java is not installed; the message says what to install."""


def emulators_installed() -> bool:
    """Tell whether the emulators can be started here."""
    return shutil.which("gcloud") is not None and shutil.which("java") is not None


@dataclass(frozen=True)
class Emulator:
    """A running emulator and the variable through which clients find it."""

    process: ChildProcess
    variable: str

    @property
    def host(self) -> str:
        """Its ``host:port``."""
        return f"127.0.0.1:{self.process.port}"


def _emulator(name: str, folder: Path) -> Emulator:
    port = free_port()
    command = ["gcloud", "--quiet", *_COMMANDS[name], f"--host-port=127.0.0.1:{port}"]
    if name == "pubsub":
        (folder / name).mkdir(parents=True, exist_ok=True)
        command += ["--project=local", f"--data-dir={folder / name}"]
    environ = dict(os.environ) | {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    log_file = folder / f"{name}.log"
    process = ChildProcess(f"{name} emulator", command, port, log_file=log_file, environ=environ)
    return Emulator(process, _VARIABLES[name])


async def start_emulators(folder: Path, names: Sequence[str] = tuple(_COMMANDS)) -> list[Emulator]:
    """Start the emulators side by side; raises ``EmulatorsMissing``."""
    if not emulators_installed():
        raise EmulatorsMissing(MISSING)
    emulators = [_emulator(name, folder) for name in names]
    results = await asyncio.gather(
        *(emulator.process.start() for emulator in emulators), return_exceptions=True
    )
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        await stop_emulators(emulators)
        if isinstance(failures[0], ProcessFailed):
            raise EmulatorsMissing(f"{failures[0]}\n{MISSING}") from failures[0]
        raise failures[0]
    return emulators


async def stop_emulators(emulators: Sequence[Emulator]) -> None:
    """Stop them side by side."""
    await asyncio.gather(*(emulator.process.stop() for emulator in emulators))

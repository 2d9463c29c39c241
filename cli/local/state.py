"""Where a running local stack is, in a small file that other commands read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from cli.failures import Failure

DATA_DIR: Final = Path(".transcripts")
FILE_NAME: Final = "stack.json"
VARIABLE: Final = "TRANSCRIPTS_STACK"
"""Names the file, for commands that run in another folder than ``transcripts up``."""


SAMPLE_NOTE: Final = (
    "The fake Mavi listens to nothing: every recording gets the same sample transcript here."
)


class LocalStack(msgspec.Struct, frozen=True, kw_only=True):
    """A stack: its process, its data, and its addresses.

    ``environ`` holds the variables of the emulators; it is empty for the embedded backend.
    """

    pid: int
    backend: str
    data_dir: str
    urls: dict[str, str]
    bucket: str
    bucket_url: str
    callback_url: str
    environ: dict[str, str] = {}

    def is_running(self) -> bool:
        """Tell whether its process exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def state_file() -> Path:
    """Return the path of the file."""
    return Path(os.environ.get(VARIABLE) or DATA_DIR / FILE_NAME)


def nearest_state_file() -> Path:
    """Return the path of the file in this folder or in the nearest one above that has it.

    Another user's file is left out: files would be uploaded to the address in it.
    """
    if not os.environ.get(VARIABLE):
        for folder in (Path.cwd(), *Path.cwd().parents):
            path = folder / DATA_DIR / FILE_NAME
            if path.is_file() and path.stat().st_uid == os.getuid():
                return path
    return state_file()


def write_state(path: Path, stack: LocalStack) -> None:
    """Write the file, readable for this user only: it holds the token of the callback URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{stack.pid}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(stack))
    partial.replace(path)


def running_stack(path: Path | None = None) -> LocalStack | None:
    """Return the stack that is running, or None; raises ``Failure`` for an unreadable file."""
    path = path or state_file()
    try:
        stack = msgspec.json.decode(path.read_bytes(), type=LocalStack)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(
            f"{path} cannot be read: {error.strerror}. {VARIABLE} names the file of a local stack."
        ) from error
    except msgspec.MsgspecError as error:
        raise Failure(
            f"{path} is not the file of a local stack. Stop the stack, and start it again:"
            " transcripts up"
        ) from error
    return stack if stack.is_running() else None

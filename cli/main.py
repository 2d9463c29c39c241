"""The `transcripts` command."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import click
import msgspec

from cli.demo import DemoFailed, run_demo
from cli.emulators import EmulatorsMissing
from cli.fake_mavi.faults import Faults
from cli.fake_mavi.server import FakeMavi
from cli.processes import ProcessFailed
from cli.run import interrupted, run_stack
from cli.stack import EMULATORS
from transcripts.settings import EMBEDDED

DATA_DIR: Final = Path(".transcripts")
BACKENDS: Final = (EMBEDDED, EMULATORS)

_backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=EMBEDDED,
    show_default=True,
    help="embedded needs nothing; emulators needs gcloud and Java",
)


@click.group()
def main() -> None:
    """Named-speaker transcripts from media: the local stack and its tools."""


@main.command()
@_backend
@click.option(
    "--callback",
    "callback_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a recorded callback of your own, posted instead of the sample",
)
def demo(backend: str, callback_file: Path | None) -> None:
    """Send one asset through the whole pipeline and show what happened."""
    data_dir = DATA_DIR / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    recorded = callback_file.read_bytes() if callback_file else None
    _run(run_demo(backend, data_dir, recorded))


@main.command()
@_backend
def run(backend: str) -> None:
    """Run the whole pipeline on this machine until Ctrl-C."""
    _run(run_stack(backend, DATA_DIR / "run"))


@main.command("fake-mavi")
@click.option("--port", default=8090, show_default=True)
@click.option("--key", default="local-key", show_default=True, help="what Authorization must be")
@click.option("--webhook-url", help="where callbacks go; without, submits are refused")
@click.option("--per-second", default=1.0, show_default=True, help="rate limit; 0 = none")
@click.option(
    "--fault",
    "fault_texts",
    multiple=True,
    metavar="FAULT=VALUE",
    help=f"any of: {', '.join(Faults.__struct_fields__)}",
)
def fake_mavi(
    port: int, key: str, webhook_url: str | None, per_second: float, fault_texts: tuple[str, ...]
) -> None:
    """Serve the fake Mavi alone; steer it at run time under /_fake."""
    faults = _faults(fault_texts)
    fake = FakeMavi(key, webhook_url=webhook_url, faults=faults, per_second=per_second)
    _run(_serve_fake(fake, port))


def _faults(texts: tuple[str, ...]) -> Faults:
    values: dict[str, object] = {}
    for text in texts:
        fault, _, value = text.partition("=")
        try:
            values[fault] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            values[fault] = value
    try:
        return msgspec.convert(values, Faults)
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error


async def _serve_fake(fake: FakeMavi, port: int) -> None:
    await fake.start(port)
    print(f"Fake Mavi: {fake.url}\nIts state and faults: {fake.admin_url}\nCtrl-C stops it.")
    try:
        await interrupted()
    finally:
        await fake.stop()


def _run(work: Coroutine[None, None, None]) -> None:
    """Run the command; an error that the user can repair is one sentence and exit code 1."""
    try:
        asyncio.run(work)
    except (DemoFailed, EmulatorsMissing, ProcessFailed, OSError) as error:
        raise click.ClickException(str(error)) from error

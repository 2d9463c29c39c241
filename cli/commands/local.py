"""The commands that run things on this machine: up, demo, fake-mavi."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.failures import Failure
from cli.local.state import DATA_DIR, running_stack, state_file

if TYPE_CHECKING:
    from cli.fake_mavi.faults import Faults
    from cli.fake_mavi.server import FakeMavi

BACKENDS: Final = ("embedded", "emulators")

_backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    help="embedded needs nothing; emulators needs gcloud and Java.",
)


@click.command("up")
@_backend
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR / "run",
    show_default=True,
    help="Where everything is stored.",
)
def up_command(backend: str, data_dir: Path) -> None:
    """Keep the whole pipeline up on this machine, until Ctrl-C."""
    from cli.local.run import run_stack

    stack = running_stack()
    if stack is not None:
        raise Failure(
            f"A local stack is running already: process {stack.pid}, {stack.backend}, data in"
            f" {stack.data_dir}, results at {stack.urls.get('results')}. End it: kill {stack.pid}"
        )
    _run(run_stack(backend, data_dir, state_file()))


@click.command("demo")
@_backend
@click.option(
    "--callback",
    "callback_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A recorded callback of your own, posted instead of the sample.",
)
def demo_command(backend: str, callback_file: Path | None) -> None:
    """Send one asset through the whole pipeline."""
    from cli.local.demo import run_demo

    data_dir = DATA_DIR / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    recorded = callback_file.read_bytes() if callback_file else None
    _run(run_demo(backend, data_dir, recorded))


@click.command("fake-mavi")
@click.option("--port", default=8090, show_default=True)
@click.option("--key", default="local-key", show_default=True, help="What Authorization must be.")
@click.option("--webhook-url", help="Where callbacks go; without it, submits are refused.")
@click.option("--per-second", default=1.0, show_default=True, help="Rate limit; 0 is none.")
@click.option(
    "--fault",
    "fault_texts",
    multiple=True,
    metavar="FAULT=VALUE",
    help="A field of cli/fake_mavi/faults.py, such as duplicate=1.",
)
def fake_mavi_command(
    port: int, key: str, webhook_url: str | None, per_second: float, fault_texts: tuple[str, ...]
) -> None:
    """Serve the fake Mavi alone.

    Its faults can be changed at run time under /_fake.
    """
    from cli.fake_mavi.server import FakeMavi

    faults = _faults(fault_texts)
    fake = FakeMavi(key, webhook_url=webhook_url, faults=faults, per_second=per_second)
    _run(_serve_fake(fake, port))


def _faults(texts: tuple[str, ...]) -> Faults:
    import msgspec

    from cli.fake_mavi.faults import Faults

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
    from cli.local.run import interrupted

    await fake.start(port)
    print(f"Fake Mavi: {fake.url}\nIts state and faults: {fake.admin_url}\nCtrl-C stops it.")
    try:
        await interrupted()
    finally:
        await fake.stop()


def _run(work: Coroutine[None, None, None]) -> None:
    from cli.local.demo import DemoFailed
    from cli.local.emulators import EmulatorsMissing
    from cli.local.processes import ProcessFailed

    try:
        asyncio.run(work)
    except (DemoFailed, EmulatorsMissing, ProcessFailed, OSError) as error:
        raise Failure(str(error)) from error

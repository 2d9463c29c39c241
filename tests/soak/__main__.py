"""Upload thousands of files at once, announce each three times, and measure the cost.

``python -m tests.soak [--objects 5000] [--per-second 50] [--backend emulators]``. Time is scaled:
the fake Mavi allows ``per-second`` requests to each endpoint where Mavi allows one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from random import Random

from cli.fake_mavi.faults import Faults
from cli.local.stack import EMULATORS, Stack, StackOptions
from tests.e2e.burst import Figures, Progress, burst
from transcripts.settings import EMBEDDED

DELIVERIES = 3
WITHIN_S = 3 * 3600.0


def show(progress: Progress) -> None:
    """Rewrite one line."""
    print(
        f"\r  events {progress.published:>6}   bought {progress.purchases:>6}"
        f"   results {progress.results:>6}",
        end="",
        flush=True,
    )


async def soak(backend: str, objects: int, per_second: float, seed: int) -> Figures:
    """Run one burst on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="transcripts-soak-") as folder:
        options = StackOptions(
            backend=backend,
            data_dir=Path(folder),
            faults=Faults(callback_delay_s=0.5),
            mavi_per_second=per_second,
            queue_backoff_s=1.0,
            watch_bucket=False,
        )
        async with Stack(options) as stack:
            return await burst(
                stack,
                objects=objects,
                deliveries=DELIVERIES,
                random=Random(seed),
                within_s=WITHIN_S,
                on_progress=show,
            )


def main() -> int:
    """Print the figures; the exit code tells whether every check passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--backend", choices=[EMBEDDED, EMULATORS], default=EMBEDDED)
    parser.add_argument("--objects", type=int, default=5_000)
    parser.add_argument("--per-second", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print(f"{chosen.objects} objects, each announced {DELIVERIES} times, {chosen.backend}")
    figures = asyncio.run(soak(chosen.backend, chosen.objects, chosen.per_second, chosen.seed))
    print(
        f"\n  {figures.events} events, {figures.purchases} purchases,"
        f" {figures.violations} violations of the limit, {figures.results} results"
        f" in {figures.seconds:.0f} s"
    )
    kept = figures.violations == 0 and figures.purchases == figures.results == figures.objects
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

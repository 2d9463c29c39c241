"""The measurements of ``make bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final

from cli.local.emulators import EmulatorsMissing
from tests.bench import (
    callback,
    command_line,
    exports,
    figures,
    latency,
    memory,
    results,
    start,
    subscriber,
    uploads,
    viewer,
)

Report = Callable[[argparse.Namespace], Any]
PARTS: Final[dict[str, Report]] = {
    "start": lambda options: start.report(2 * options.rounds),
    "command": lambda options: command_line.report(4 * options.rounds),
    "subscriber": lambda options: subscriber.report(6 * options.rounds),
    "exports": lambda options: exports.report(options.rounds),
    "results": lambda options: results.report(options.rounds),
    "viewer": lambda options: viewer.report(2 * options.rounds),
    "memory": lambda _: memory.report(),
    "upload": lambda options: uploads.report((options.rounds + 1) // 2),
    "callback": lambda options: callback.report(options.rounds, options.seconds),
    "latency": lambda _: latency.report(),
}
"""Each part prints its rows, and returns its figures if a table of the docs is made from them."""


def main() -> None:
    """Measure the parts that the command line names, by default all, and write their figures."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    missing: list[str] = []
    for name, report in PARTS.items():
        if name not in options.parts:
            continue
        try:
            measured = report(options)
        except EmulatorsMissing as error:
            missing.append(f"{name} was not measured. {error}")
            continue
        if measured is not None:
            figures.write({name: measured})
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()

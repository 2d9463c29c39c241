"""The measurements of ``make bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from cli.local.emulators import EmulatorsMissing
from tests.bench import (
    callback,
    command_line,
    exports,
    latency,
    memory,
    results,
    start,
    subscriber,
    uploads,
    viewer,
)
from tests.bench.figures import NotMeasured, write

Part = Callable[[int], Mapping[str, Any]]
PARTS: Final[dict[str, Part]] = {
    "start": lambda rounds: start.measure(2 * rounds),
    "command": lambda rounds: command_line.measure(4 * rounds),
    "subscriber": lambda rounds: subscriber.measure(6 * rounds),
    "exports": exports.measure,
    "results": results.measure,
    "viewer": lambda rounds: viewer.measure(2 * rounds),
    "memory": lambda _: memory.measure(),
    "upload": lambda rounds: uploads.measure((rounds + 1) // 2),
    "callback": callback.measure,
    "latency": lambda _: latency.measure(),
}
"""Each part returns its figures, from which tables of the docs are made."""


def main() -> None:
    """Measure the parts that the command line names, by default all."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    missing: list[str] = []
    for name, measure in PARTS.items():
        if name in (options.parts or PARTS):
            try:
                write(name, measure(options.rounds))
            except (EmulatorsMissing, NotMeasured) as error:
                missing.append(f"{name} was not measured. {error}")
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()

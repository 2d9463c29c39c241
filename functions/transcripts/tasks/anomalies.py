"""Counting what had to be repaired in a result."""

from __future__ import annotations

from transcripts.tasks.task import Anomaly


class Anomalies:
    """Counts each kind of repair and remembers the first item that needed it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, code: str, index: int) -> None:
        """Count one repair of the provider's item ``index``."""
        count, first = self._found.get(code, (0, index))
        self._found[code] = (count + 1, min(first, index))

    def listed(self) -> list[Anomaly]:
        """Return all kinds, in the order of their codes."""
        return [Anomaly(code, count, first) for code, (count, first) in sorted(self._found.items())]

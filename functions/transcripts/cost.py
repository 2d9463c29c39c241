"""The price of transcripts at Mavi: an estimate from the length of the media."""

from __future__ import annotations

from typing import Final

MAVI_USD_PER_MINUTE: Final = 0.10
"""Mavi's price of a multi-speaker transcript, for each minute of media: docs/cost.md."""

COST_BASIS: Final = (
    f"An estimate: the minutes until the last line, at Mavi's price of ${MAVI_USD_PER_MINUTE:.2f} a"
    " minute of media. A recording that goes on after it costs more"
)
"""Mavi tells the length of no recording: not with the asset, and not with the result."""


def dollars(duration_s: float) -> float:
    """Return about what a transcript of that duration costs, in US dollars: ``COST_BASIS``."""
    return duration_s / 60 * MAVI_USD_PER_MINUTE


def cost(duration_s: float) -> str:
    """Return ``dollars`` in words."""
    amount = dollars(duration_s)
    if 0 < amount < 0.01:
        return "less than $0.01"
    return f"about ${amount:,.2f}"

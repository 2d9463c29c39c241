"""A bar chart as SVG, for docs/performance.md.

A plotting library would be a large dependency for one kind of chart: matplotlib and its
requirements have 100 MB, and neither matplotlib nor pygal writes colors that follow the reader's
light or dark mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 640
LABEL_WIDTH: Final = 190
VALUE_WIDTH: Final = 90
ROW_HEIGHT: Final = 22
BAR_HEIGHT: Final = 14
HEAD_HEIGHT: Final = 30
STYLE: Final = (
    "text{font:13px sans-serif;fill:#1f2328}.bar{fill:#0969da}.line{stroke:#59636e}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.bar{fill:#4493f8}.line{stroke:#9198a1}}"
)
"""GitHub's colors of text and accent, which have enough contrast in either mode."""


class Bar(NamedTuple):
    """One bar: its label, its value, and the value as text."""

    label: str
    value: float
    text: str


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Draw horizontal bars from zero to the largest value; shorter is better in every chart."""
    largest = max((bar.value for bar in bars), default=0.0) or 1.0
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    height = HEAD_HEIGHT + ROW_HEIGHT * len(bars) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        top = HEAD_HEIGHT + ROW_HEIGHT * number
        length = round(room * bar.value / largest, 1)
        size = f'width="{length}" height="{BAR_HEIGHT}"'
        baseline = f'y="{top + 12}"'
        label, text = escape(bar.label), escape(bar.text)
        parts += [
            f'<text x="{LABEL_WIDTH - 8}" {baseline} text-anchor="end">{label}</text>',
            f'<rect class="bar" x="{LABEL_WIDTH}" y="{top}" {size}/>',
            f'<text x="{LABEL_WIDTH + length + 6}" {baseline}>{text}</text>',
        ]
    bottom = HEAD_HEIGHT + ROW_HEIGHT * len(bars)
    parts.append(
        f'<line class="line" x1="{LABEL_WIDTH}" x2="{LABEL_WIDTH}" y1="{HEAD_HEIGHT - 4}" '
        f'y2="{bottom}"/>'
    )
    return "\n".join((*parts, "</svg>", ""))

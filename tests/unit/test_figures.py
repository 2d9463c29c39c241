"""The figures in docs/performance.md: tables and plots are made from one file of data."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tests.bench.figures import DOCUMENT, IMAGES, TABLES, plots, read, render
from tests.bench.plots import Bar, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_tables_are_those_of_the_data() -> None:
    """A figure is changed by `make bench` only."""
    document = DOCUMENT.read_text()
    assert render(document, read()) == document


def test_every_table_has_its_place_in_the_document() -> None:
    """No table is forgotten, and none is left over."""
    places = re.findall(r"<!-- figures (\S+) -->", DOCUMENT.read_text())
    assert sorted(places) == sorted(table.name for table in TABLES)
    assert DOCUMENT.read_text().count("<!-- end -->") == len(places)


def test_plots_are_those_of_the_data() -> None:
    """Each table has one plot, and no other plot is kept."""
    expected = plots(read())
    assert {path: path.read_text() for path in expected} == expected
    assert set(IMAGES.glob("performance-*.svg")) == set(expected)


def test_render_replaces_only_its_own_table() -> None:
    """Text around a table stays as it is."""
    table = TABLES[0]
    row = {column.key: 1.0 for column in table.columns}
    document = f"before\n<!-- figures {table.name} -->\nold\n<!-- end -->\nafter\n"
    rendered = render(document, {table.path[0]: {"a function": row}})
    assert rendered.startswith("before\n")
    assert rendered.endswith("\n<!-- end -->\nafter\n")
    assert "| a function | 1 ms | 1.00 |" in rendered
    assert "old" not in rendered


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 4.0]])
def test_bar_chart_has_bars_in_proportion(values: list[float]) -> None:
    """The largest value takes the whole width; labels are escaped."""
    chart = ET.fromstring(  # noqa: S314 - our own file
        bar_chart("Title <1>", [Bar("a & b", value, f"{value} ms") for value in values])
    )
    widths = [float(bar.get("width") or "") for bar in chart.iter(f"{SVG}rect")]
    assert len(widths) == len(values)
    if values == [1.0, 4.0]:
        assert widths[1] == 4 * widths[0]
    texts = [text.text for text in chart.iter(f"{SVG}text")]
    assert texts[0] == "Title <1>"
    assert texts.count("a & b") == len(values)
    assert "prefers-color-scheme:dark" in (chart.findtext(f"{SVG}style") or "")

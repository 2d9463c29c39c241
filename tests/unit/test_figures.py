"""The figures in docs/performance.md: its tables are made from one file of data."""

from __future__ import annotations

import re

import pytest

from tests.bench.figures import DOCUMENT, TABLES, Column, Figures, Table, medians, read, render


def test_tables_are_those_of_the_data() -> None:
    """A figure is changed by `make bench` only."""
    document = DOCUMENT.read_text()
    assert render(document, read()) == document


def test_every_table_has_its_place_in_the_document() -> None:
    """No table is forgotten, and none is left over."""
    places = re.findall(r"<!-- figures (\S+) -->", DOCUMENT.read_text())
    assert sorted(places) == sorted(table.name for table in TABLES)
    assert DOCUMENT.read_text().count("<!-- end -->") == len(places)


def test_render_replaces_only_its_own_table() -> None:
    """Text around a table stays as it is."""
    table = TABLES[0]
    row = {column.key: 1.0 for column in table.columns}
    document = f"before\n<!-- figures {table.name} -->\nold\n<!-- end -->\nafter\n"
    rendered = render(document, {table.name: {"empty": row}})
    assert rendered.startswith("before\n")
    assert rendered.endswith("\n<!-- end -->\nafter\n")
    assert "| empty | 1 ms | 1.00 |" in rendered
    assert "old" not in rendered


@pytest.mark.parametrize(
    ("column", "line"),
    [
        (Column("", "{:.1f}", "a"), "| 3.0 |"),
        (Column("", "{:.1f}", "a", over="b"), "| 1.5 |"),
        (Column("", "{:.1f}", "a", against="other"), "| 0.5 |"),
        (Column("", "{:.1f}", "missing"), "|  |"),
        (Column("", "{:.1f}", "a", over="missing"), "|  |"),
        (Column("", "{:.1f}", "a", against="missing"), "|  |"),
    ],
)
def test_column_divides_by_another_figure_of_its_row_or_by_another_row(
    column: Column, line: str
) -> None:
    """What was not measured stays empty."""
    rows = {"row": {"a": 3.0, "b": 2.0}, "other": {"a": 6.0}}
    assert Table("t", "head", (column,)).markdown(rows).splitlines()[2] == f"| row {line}"


def test_medians_measures_in_turn_and_leaves_out_the_first_round() -> None:
    """The first round warms caches up."""
    called: list[str] = []

    def case(name: str, *values: float) -> Figures:
        called.append(name)
        return {"ms": values[called.count(name) - 1]}

    cases = {"a": lambda: case("a", 100, 1, 5, 3), "b": lambda: case("b", 0, 2, 2, 2)}
    assert medians(3, cases) == {"a": {"ms": 3}, "b": {"ms": 2}}
    assert called == ["a", "b"] * 4

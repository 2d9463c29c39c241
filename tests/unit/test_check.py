"""The last lines of `make check`."""

from __future__ import annotations

from pathlib import Path

from tests.check import read_outcome


def report(folder: Path, *cases: str) -> Path:
    path = folder / "report.xml"
    suite = f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
    path.write_text(suite)
    return path


PASSED = '<testcase name="a"/>'
SKIPPED = '<testcase name="b"><skipped type="pytest.skip" message="needs Chromium."/></testcase>'


def test_outcome_without_skips_says_that_none_was_skipped(tmp_path: Path) -> None:
    """Nothing else in it reads like a skipped test."""
    outcome = read_outcome(report(tmp_path, PASSED, PASSED))
    assert str(outcome) == "2 tests passed, none was skipped."


def test_outcome_with_skips_counts_them_by_reason(tmp_path: Path) -> None:
    """A skipped test is no passed one."""
    outcome = read_outcome(report(tmp_path, PASSED, SKIPPED, SKIPPED))
    assert str(outcome).splitlines() == ["1 tests passed.", "2 tests were not run: needs Chromium."]

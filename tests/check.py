"""``make test`` and ``make check``: all steps, and in the last lines what they came to.

``python -m tests.check test`` runs the tests of the pipeline with coverage, ``… lint`` the linters.
Without an argument it runs linters, types and all tests, and fails if they leave a file behind.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = Path(sys.executable).parent
DEV: Final = "--optional-dependencies-dev-groups"
LINT: Final = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    # What is deployed imports the dependencies only, the command nothing of the extra dev.
    ("deptry", "functions", DEV, "cli,dev"),
    ("deptry", "functions", "cli", DEV, "dev"),
    ("deptry", "."),
)
TYPES: Final = (("mypy",),)
PYTEST: Final = ("coverage", "run", "-m", "pytest")
IN_ONE_PROCESS: Final = "emulators or terraform or checkov"
"""The markers of tests that share what is slow to start or to make: emulators and plans."""

# With the one process more than the two cores of a small machine: many tests wait for another one.
SPREAD: Final = ("-m", f"not ({IN_ONE_PROCESS})", "--numprocesses", "2", "--dist", "worksteal")
OF_INFRA: Final = ("tests/infra", "tests/deploy")


class Outcome(NamedTuple):
    """How many tests passed, and how many were skipped for each reason."""

    passed: int
    skipped: Counter[str]

    def __str__(self) -> str:
        """Return the lines that end a run."""
        if not self.skipped:
            return f"{self.passed:,} tests passed, none was skipped."
        reasons = (f"{count:,} tests were not run: {why}" for why, count in self.skipped.items())
        return "\n".join((f"{self.passed:,} tests passed.", *reasons))


def read_outcome(*reports: Path) -> Outcome:
    """Read reports of pytest in JUnit's format."""
    cases = [case for report in reports for case in ET.parse(report).iter("testcase")]  # noqa: S314 - pytest wrote it
    skips = [each for case in cases for each in case.iter("skipped")]
    return Outcome(len(cases) - len(skips), Counter(each.get("message", "") for each in skips))


def tree() -> set[str]:
    """Return each file that git does not know or ignore, and each changed one with its content.

    A database is one of them, though git ignores it. Empty outside a git checkout.
    """
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:  # noqa: S607 - the git on PATH
        return set()
    new = _git("ls-files", "--others", "--exclude-standard", "--exclude", "!*.sqlite3")
    changed = [ROOT / name for name in _git("diff", "HEAD", "--name-only", "--no-renames")]
    return set(new) | {
        f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
        if path.exists()
        else f"{path.relative_to(ROOT)} deleted"
        for path in changed
    }


def _git(*arguments: str) -> list[str]:
    return subprocess.run(  # noqa: S603 - our own arguments
        ["git", *arguments],  # noqa: S607 - the one on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def run(commands: Sequence[Sequence[str]]) -> float:
    """Run commands of the environment one after the other; return how long they took in seconds.

    The first that fails ends the program with its exit code.
    """
    begin = monotonic()
    for name, *arguments in commands:
        code = subprocess.call([BIN / name, *arguments], cwd=ROOT)  # noqa: S603 - our own commands
        if code:
            sys.exit(f"{name} has failed." if code == 1 else code)
    return monotonic() - begin


def run_tests(ignored: Sequence[str]) -> Outcome:
    """Run the tests with coverage: those that share emulators in one process, beside the others.

    The output of that process is printed when the others have ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        shared, others = Path(folder) / "shared.xml", Path(folder) / "others.xml"
        output = Path(folder) / "output"
        where = [*(f"--ignore={path}" for path in ignored), "tests"]
        run([("coverage", "erase")])
        name, *command = (*PYTEST, "-m", IN_ONE_PROCESS, f"--junit-xml={shared}", *where)
        with (
            output.open("wb") as file,
            subprocess.Popen(  # noqa: S603 - our own command
                [BIN / name, *command], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
            ) as beside,
        ):
            title = f"Beside these, one process runs the tests marked {IN_ONE_PROCESS}."
            print(title, flush=True)
            name, *command = (*PYTEST, *SPREAD, f"--junit-xml={others}", *where)
            code = subprocess.call([BIN / name, *command], cwd=ROOT)  # noqa: S603 - our own command
        print(output.read_text(errors="replace"), flush=True)
        if code or beside.returncode:
            sys.exit("pytest has failed.")
        run([("coverage", "combine", "--quiet")])
        total: list[str | Path] = [BIN / "coverage", "report", "--format=total"]
        covered = subprocess.run(total, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        if covered.returncode:
            run([("coverage", "report")])
        print(f"Coverage of functions/: {covered.stdout.strip()} %")
        return read_outcome(shared, others)


def main(arguments: Sequence[str]) -> None:
    """Run all steps, and say what they came to."""
    begin = monotonic()
    if arguments == ["lint"]:
        run(LINT)
        return
    if arguments == ["test"]:
        outcome, steps = run_tests(OF_INFRA), ""
    else:
        before = tree()
        lint_s, types_s = run(LINT), run(TYPES)
        outcome = run_tests(())
        steps = f" (linters {lint_s:.0f} s, types {types_s:.0f} s)"
        if left := sorted(tree() - before):
            sys.exit("\n".join(("This run left behind or changed:", *left)))
    minutes, seconds = divmod(round(monotonic() - begin), 60)
    print(f"\n{outcome}\nIt took {minutes} min {seconds} s{steps}.")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The README and docs/ say what the code does, and every place that is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests import docs
from transcripts import errors
from transcripts.submissions.submission import AssetOwner, SpendCounter, Submission
from transcripts.submissions.submitter import REMEDIES
from transcripts.tasks.task import Task

ROOT = docs.DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs.DOCS.glob("*.md"))]
SOURCES = sorted((ROOT / "functions").rglob("*.py"))
REFERENCE = (docs.DOCS / "reference.md").read_text()


def section(heading: str, text: str = REFERENCE) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    level = len(heading.partition(" ")[0])
    rest = text.split(f"\n{heading}\n")[1]
    return re.split(rf"\n#{{2,{level}}} ", rest)[0]


def first_cells(text: str) -> set[str]:
    """Return the names in the first column of the tables of a text."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("page", sorted(docs.DOCS.glob("*.md")), ids=lambda page: page.name)
def test_generated_tables_are_fresh(page: Path) -> None:
    """``python -m tests.docs`` writes them."""
    assert docs.rendered(page.read_text()) == page.read_text()


def test_every_error_code_is_listed() -> None:
    """The codes of the source, and no others."""
    source = "\n".join(path.read_text() for path in SOURCES)
    raised = set(re.findall(r'\bcode(?:: str)? ?= ?"([a-z_]+)"', source))
    raised |= set(re.findall(r'UnreadableCallback\("([a-z_]+)"', source))
    raised |= {str(code) for code in REMEDIES} | set(errors.SubmissionError.STATUSES)
    assert first_cells(section("## Error codes")) == raised


@pytest.mark.parametrize(
    ("heading", "kinds"),
    [("### tasks", [Task]), ("### submissions", [Submission])],
)
def test_every_stored_field_is_listed(heading: str, kinds: list[type[msgspec.Struct]]) -> None:
    """The fields of the stored documents, and no others."""
    fields = {name for kind in kinds for name in kind.__struct_fields__}
    assert first_cells(section(heading)) == fields


def test_fields_of_the_small_documents_are_named() -> None:
    """Asset owners and spend counters have a sentence, not a table."""
    text = section("### submissions")
    for kind in (AssetOwner, SpendCounter):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text


def test_every_warning_and_error_event_is_listed() -> None:
    """An operator finds each of them in the reference; the embedded backend is for development."""
    events: set[str] = set()
    for path in SOURCES:
        if "embedded" not in path.parts:
            events |= set(
                re.findall(r'\.(?:error|warning|unexpected)\(\s*"([a-z_]+)"', path.read_text())
            )
    assert first_cells(section("## Log events")) == events


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files and anchors of links to this project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


NAMED = re.compile(
    r"(?<![\w./])((?:functions|tests|docs|infra|cli)/[\w./-]*\w(?:\.py|\.md|\.tf|\.toml|\.txt)?)(?![\w*{])"
)


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(path: Path) -> None:
    """In pages, docstrings and comments."""
    for name in NAMED.findall(path.read_text()):
        if name.endswith((".tfvars", "production")):
            continue
        # A file that the user makes from an example.
        assert (ROOT / name).exists() or (ROOT / f"{name}.example").exists(), name


def test_readme_is_short() -> None:
    """Details live in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_command_is_a_target(page: Path) -> None:
    """Whoever copies a command finds it."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("make "):
                words = [word for word in line.partition("#")[0].split()[1:] if "=" not in word]
                assert set(words) <= targets, line


def test_readme_or_contributing_lists_every_package() -> None:
    """A reader knows from it where a thing lives."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for folder in (ROOT / "functions" / "transcripts").iterdir():
        if folder.is_dir() and (folder / "__init__.py").exists():
            assert f"{folder.name}/" in text, folder.name

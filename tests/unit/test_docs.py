"""The README and docs/ describe the code, and every path in them exists."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from tests import docs
from tests.command_line import is_command_line
from transcripts import errors
from transcripts.callbacks.kinds import Kind
from transcripts.callbacks.message import pack
from transcripts.google.objects import REQUESTER_PAYS, UNREADABLE
from transcripts.log_events import EVENTS
from transcripts.submissions.answers import EnqueueResult
from transcripts.submissions.claims import DELETED, DUPLICATE_RECORDING
from transcripts.submissions.sweep import Counts
from transcripts.tasks.merge import Outcome
from transcripts.traces import TRACEPARENT
from transcripts.uploads.rejections import RejectReason

ROOT = docs.DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs.DOCS.glob("*.md"))]
SOURCES = sorted((ROOT / "functions").rglob("*.py"))
CODE = sorted(
    path
    for folder in ("functions", "cli", "tests", "infra")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".tf", ".hcl", ".example")
)
REFERENCE = (docs.DOCS / "reference.md").read_text()


def section(heading: str, text: str = REFERENCE) -> str:
    """Return the text under a heading, up to the next heading of its level or above."""
    level = len(heading.partition(" ")[0])
    rest = text.split(f"\n{heading}\n")[1]
    return re.split(rf"\n#{{2,{level}}} ", rest)[0]


def first_cells(text: str) -> set[str]:
    """Return the names in the first column of the tables of a text."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("page", docs.GENERATED, ids=lambda page: page.name)
def test_generated_parts_are_fresh(page: Path) -> None:
    """Every generated part equals the output of ``python -m tests.docs``."""
    assert docs.rendered(page.read_text()) == page.read_text()


def test_generated_tables_describe_every_stored_field() -> None:
    """Each document and each part of one has a table, without an empty cell."""
    tables = dict(re.findall(r"<!-- generated: (\w+) -->\n(.*?)<!-- end -->", REFERENCE, re.DOTALL))
    assert set(docs.STORED) <= set(tables)
    for name, kind in docs.STORED.items():
        contents = docs.contents(tables[name])
        assert [field for field in kind.__struct_fields__ if not contents[field]] == [], name


@cache
def calls() -> list[ast.Call]:
    """Return every call in the functions; the embedded backend is for development only."""
    sources = [path for path in SOURCES if "embedded" not in path.parts]
    trees = [ast.parse(path.read_text()) for path in sources]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def strings(node: ast.AST | None) -> set[str]:
    """Return the texts that an argument may be."""
    if isinstance(node, ast.IfExp):
        return strings(node.body) | strings(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def number(node: ast.AST | None) -> int | None:
    """Return the whole number that an argument is."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None


def keyword(call: ast.Call, name: str) -> ast.AST | None:
    """Return a keyword argument of a call."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def calls_of(*names: str) -> Iterator[tuple[ast.Call, set[str]]]:
    """Yield the calls of functions of these names, with the texts of their first argument."""
    for call in calls():
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        if name in names:
            yield call, strings(call.args[0]) if call.args else set()


def statuses() -> dict[str, set[int]]:
    """Return every error code of the source with each HTTP status that it is answered with."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for kind in vars(errors).values():
        declares = isinstance(kind, type) and "code" in vars(kind)
        if declares and issubclass(kind, errors.TranscriptsError):
            found[kind.code].add(kind.status)
    for code, status in errors.SubmissionError.STATUSES.items():
        found[code].add(status)
    for call, _ in calls_of("RequestError", "BodyIncomplete", "__init__"):
        for code in strings(keyword(call, "code")):
            found[code].add(number(keyword(call, "status")) or 400)
    for call, codes in calls_of("SubmissionError"):
        if (given := number(keyword(call, "status"))) is not None:
            for code in codes:
                found[code].add(given)
    for _, codes in calls_of("UnreadableCallback"):
        for code in codes:
            found[code].add(400)
    found["settings"].clear()  # no function starts to answer it
    return dict(found)


def rows(text: str) -> Iterator[tuple[set[str], str]]:
    """Yield the names in the first cell of each row, and its second cell."""
    for line in text.splitlines():
        if line.startswith("| `"):
            _, first, second, *_ = line.split("|")
            yield set(re.findall(r"`([^`]+)`", first)), second.strip()


def test_every_error_code_is_listed_with_its_status() -> None:
    """The reference lists the codes of the source, and no others."""
    listed = {
        code: {int(status) for status in re.findall(r"[0-9]{3}", cell)}
        for codes, cell in rows(section("## Error codes"))
        for code in codes
    }
    assert set(errors.SubmissionError.REMEDIES) <= set(listed)
    assert listed == statuses()


def events() -> dict[str, tuple[str, frozenset[str]]]:
    """Return every event that the functions log, with its severity and its fields."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    severities = {"info": "INFO", "warning": "WARNING", "error": "ERROR", "unexpected": "ERROR"}
    for call, names in calls_of(*severities):
        severity = severities[call.func.attr] if isinstance(call.func, ast.Attribute) else ""
        if isinstance(call.args[0], ast.JoinedStr):
            assert ast.unparse(call.args[0]) == "f'result_{outcome}'"
            names |= {f"result_{outcome}" for outcome in Outcome}
        fields = {each.arg for each in call.keywords if each.arg}
        unpacked = {ast.unparse(each.value) for each in call.keywords if each.arg is None}
        fields |= {name for text in unpacked for name in UNPACKED[text]}
        if severity == "ERROR" and ast.unparse(call.func).endswith("unexpected"):
            fields.add("stack")
        for name in names:
            _, known = found.get(name, (severity, frozenset()))
            found[name] = (severity, known | fields)
    return found


UNPACKED = {
    "msgspec.structs.asdict(run.counts)": frozenset(Counts.__struct_fields__),
    # Of SubmissionError in submitter.py, and the submission that has the asset.
    "details": frozenset({"asset_id", "http_status", "other", "reason", "upload_status"}),
}
"""The fields of the calls that unpack a mapping."""


def test_every_log_event_is_in_the_table_with_its_severity_and_fields() -> None:
    """An operator finds there what a line means; metrics and alerts go by severity and fields."""
    listed = {name: (event.severity, frozenset(event.fields)) for name, event in EVENTS.items()}
    assert listed == events()


def test_every_line_that_needs_a_person_says_what_to_do() -> None:
    """Each warning and each error has an action; a normal event has none."""
    assert [name for name, event in EVENTS.items() if not event.action] == [
        name for name, event in EVENTS.items() if event.severity == "INFO"
    ]


def test_every_reason_of_a_rejection_is_listed() -> None:
    """The page lists each reason of upload, provider and storage, and no others."""
    not_recorded = {
        *("submit_unknown", "submission_in_progress", "budget_exhausted"),
        "transcript_deleted",
    }
    reasons = set(RejectReason) | (
        {str(code) for code in errors.SubmissionError.REMEDIES} - not_recorded
    )
    reasons |= {errors.ObjectNotFound.code, errors.ObjectForbidden.code}
    reasons |= {errors.ObjectCorrupted.code}
    reasons |= {REQUESTER_PAYS, UNREADABLE, DELETED, DUPLICATE_RECORDING, "duplicate_asset"}
    for _, codes in calls_of("UploadFailed"):
        reasons |= codes
    text = section("## Uploaded objects", (docs.DOCS / "submissions.md").read_text())
    assert first_cells(text) == reasons


def test_messages_are_described_as_they_are_packed() -> None:
    """The reference names every attribute and every kind."""
    packed = pack(b"{}", datetime.now(UTC), {"task_id": "t", "kind": "audio"})
    text = section("## Messages")
    attributes, _, kinds = text.partition("`kind` is")
    for name in (*packed.attributes, TRACEPARENT):
        assert f"`{name}`" in attributes
    assert set(re.findall(r"`(\w+)`", kinds)) == set(Kind)


def test_answers_that_count_name_every_field() -> None:
    """The reference shows every field of the answers of the sweep and of a list."""
    answers = section("## Answers")
    for names in (Counts.__struct_fields__, EnqueueResult.__struct_fields__):
        assert "{" + ", ".join(f'"{name}"' for name in names) + "}" in answers


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Every link to a file or anchor of this project has its target."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


NAMED = re.compile(
    r"(?<![\w./-])((?:functions|tests|docs|infra|cli|\.ci)/[\w./-]*\w(?:#[\w-]+)?)(?![\w*{/])"
)


def prose(path: Path) -> str:
    """Return the prose of a file: of Python the comments and docstrings, of others all text."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return "\n".join([*comments, *(ast.get_docstring(node) or "" for node in nodes)])


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(path: Path) -> None:
    """A path in a page, comment or docstring exists; an anchor after it is one of the page."""
    for name, _, anchor in (found.partition("#") for found in NAMED.findall(prose(path))):
        # A user makes *.tfvars and backend.tf from examples; NAME stands for any name.
        made = name.endswith(".tfvars") or "NAME" in name or (ROOT / f"{name}.example").exists()
        assert made or (ROOT / name).exists(), name
        assert not anchor or anchor in anchors(ROOT / name), f"{name}#{anchor}"


def test_readme_is_short() -> None:
    """Details are in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


PYTEST = ".venv/bin/python -m pytest "
REVIEWED = {
    "transcripts --version": "tests/functional/test_upgrade.py runs it",
    'eval "$(_TRANSCRIPTS_COMPLETE=bash_source transcripts)"': "changes the shell it runs in",
}
"""Commands that no test runs as they are written."""


OTHER_TOOLS = ("gcloud ", "terraform ", "git ", "cp ", "cd ", "curl ", "read -rs ")
"""Of Google, Terraform, git and the shell; tests/deploy checks what they name."""


def commands(page: Path) -> set[str]:
    """Return the commands of a page, each on one line, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    stripped = {" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in lines}
    return stripped - {""}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_a_target_or_a_test_or_reviewed(page: Path) -> None:
    """A command is a make target, a valid command line, a run of pytest, or of another tool."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(page) - set(REVIEWED):
        words = [word for word in command.split()[1:] if "=" not in word]
        target = command.startswith("make") and set(words) <= targets
        valid = command.startswith("transcripts ") and is_command_line(command)
        assert target or valid or command.startswith((PYTEST, *OTHER_TOOLS)), command


def test_every_reviewed_command_is_in_a_page() -> None:
    """Every line of the table is a command of a page."""
    assert set(REVIEWED) <= {command for page in PAGES for command in commands(page)}


@pytest.mark.parametrize(
    "command",
    sorted(each for page in PAGES for each in commands(page) if each.startswith(PYTEST)),
)
def test_commands_that_run_tests_find_some(command: str) -> None:
    """The commands name tests that exist; the suite runs these tests anyway."""
    words = command.split()[3:]
    keyword = words.pop(words.index("-k") + 1) if "-k" in words else ""
    for place in (word for word in words if not word.startswith("-")):
        path, _, name = place.partition("::")
        files = [ROOT / path] if path.endswith(".py") else sorted((ROOT / path).rglob("test_*.py"))
        tests = {
            test
            for file in files
            for test in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
        }
        assert any(keyword in test and name in ("", test) for test in tests), place


def test_readme_or_contributing_lists_every_package() -> None:
    """A reader finds there the place of each package."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for folder in (ROOT / "functions" / "transcripts").iterdir():
        if folder.is_dir() and (folder / "__init__.py").exists():
            assert f"{folder.name}/" in text, folder.name

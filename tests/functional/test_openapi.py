"""The description of the results API is what the function does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import schemathesis
import yaml
from hypothesis import Phase, assume, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi import checks

from tests.fakes import NOW, LogLines, MemoryDocuments
from tests.functional.framework import load
from tests.results import Results, a_submission, a_task
from transcripts.callbacks.kinds import Kind
from transcripts.changes.deletion import Left, Part, Remaining, SubmissionDeleted
from transcripts.results import accounting
from transcripts.results.answers import HIDDEN_FIELDS, NamedSpeaker, SubmissionView, Summary
from transcripts.results.listing import DEFAULT_PAGE_SIZE
from transcripts.results.routes import SUBMISSION_FILTERS, TASK_FILTERS, api_routes
from transcripts.retry import Retrier
from transcripts.submissions.submission import Attempt, State
from transcripts.tasks import task
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.tasks.task import Source, Status

PATH = Path(__file__).resolve().parent.parent.parent / "docs" / "openapi.yaml"
DESCRIPTION: dict[str, Any] = yaml.safe_load(PATH.read_text())
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
LISTS = {"/tasks": TASK_FILTERS, "/submissions": SUBMISSION_FILTERS}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Results:
    memory = MemoryDocuments()
    loaded = load("results", {"GOOGLE_CLOUD_PROJECT": "p"}, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    return Results(loaded, memory, remove)


def test_paths_are_those_of_the_routes(results: Results) -> None:
    """With their methods. The pages for people are no API, and are not described."""
    nothing: Any = dict.fromkeys(("names", "deletion", "renormalizer"))
    routes = api_routes(
        results.documents,
        Retrier(),
        LogLines().log,
        **nothing,
    )
    served = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods
    }
    assert described == served


def parameters(path: str, where: str) -> dict[str, Any]:
    """Return the parameters of GET, by name."""
    found: dict[str, Any] = {}
    for each in DESCRIPTION["paths"][path]["get"].get("parameters", []):
        name = each.get("$ref", "").rpartition("/")[2]
        parameter = DESCRIPTION["components"]["parameters"][name] if name else each
        if parameter["in"] == where:
            found[parameter["name"]] = parameter["schema"]
    return found


@pytest.mark.parametrize("path", sorted(LISTS))
async def test_parameters_of_lists_are_those_of_the_code(results: Results, path: str) -> None:
    """The function names what it knows when a parameter is unknown."""
    error = await results.error(f"{path}?unknown=1", 400)
    described = parameters(path, "query")
    assert set(error["details"]["parameters"]) == set(described)
    assert set(LISTS[path]) < set(described)
    assert described["page_size"]["default"] == DEFAULT_PAGE_SIZE


@pytest.mark.parametrize(
    ("name", "values"), [("Status", Status), ("State", State), ("Kind", Kind), ("Part", Part)]
)
def test_enumerations_are_those_of_the_code(name: str, values: Any) -> None:
    """Every value, in the same order."""
    assert SCHEMAS[name]["enum"] == list(values)


STRUCTS: dict[str, type[msgspec.Struct]] = {
    "Summary": Summary,
    "NamedSpeaker": NamedSpeaker,
    "Speaker": ShownSpeaker,
    "Left": Left,
    "Remaining": Remaining,
    "SubmissionDeleted": SubmissionDeleted,
    "Submission": SubmissionView,
    "Attempt": Attempt,
    **{
        name: getattr(accounting, name)
        for name in ("Accounting", "SubmissionCounts", "TaskCounts", "CallbackCounts")
    },
    **{
        name: getattr(task, name)
        for name in (
            *("Segment", "SpeakerName", "Face", "Usage", "ModelUsage", "Anomaly"),
            *("Provider", "Source"),
        )
    },
}


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_fields_are_those_of_the_code(name: str) -> None:
    """Every field is always there."""
    fields = set(STRUCTS[name].__struct_fields__)
    assert set(SCHEMAS[name]["properties"]) == fields
    assert set(SCHEMAS[name]["required"]) == fields


def test_fields_of_a_task_are_all_that_are_shown() -> None:
    """But for how it is stored."""
    shown = set(task.Task.__struct_fields__) - HIDDEN_FIELDS | {"segments", "next_step"}
    assert set(SCHEMAS["Task"]["properties"]) == shown == set(SCHEMAS["Task"]["required"])


async def fill(results: Results) -> None:
    """Store a task of every status, a result, and a submission of every state."""
    source = Source("gs://bucket/ä.mp4", "1", "video/mp4", 9)
    await results.put(
        *(a_task(status, labels={"case": "7"}, source=source, status=status) for status in Status)
    )
    await results.put_result("result")
    attempt = Attempt(State.SUBMIT_UNKNOWN, None, "time-out", NOW)
    await results.put_submissions(
        *(a_submission(state, state=state, previous_attempts=[attempt]) for state in State)
    )


@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("/tasks", "/tasks"),
        ("/tasks?page_size=1", "/tasks"),
        ("/tasks/result", "/tasks/{task_id}"),
        ("/tasks/failed", "/tasks/{task_id}"),
        ("/submissions", "/submissions"),
        ("/submissions/pending", "/submissions/{submission_id}"),
        ("/accounting", "/accounting"),
    ],
)
async def test_answers_have_the_described_shape(
    results: Results, path: str, described: str
) -> None:
    """Times too."""
    await fill(results)
    answer = await results.get(path)
    content = DESCRIPTION["paths"][described]["get"]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"] | {"components": DESCRIPTION["components"]}
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert answer.status_code == 200
    validator.validate(answer.json())


CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
"""Not that valid input is accepted: two filters are valid, but not together."""


CALLERS = {name: value for name, value in DESCRIPTION.items() if name != "security"}
"""Cloud Run checks the caller before the function is reached."""

KNOWN: dict[str, dict[str, str]] = {
    "/tasks/{task_id}": {"task_id": "result"},
    "/tasks/{task_id}.{format}": {"task_id": "result", "format": "srt"},
    "/submissions/{submission_id}": {"submission_id": "pending"},
}
"""Parts of paths that exist: generated ones hardly ever do."""


CHANGES = {
    "/tasks/{task_id}/speaker_names": "patch",
    "/tasks/{task_id}/renormalize": "post",
    "/tasks/{task_id}": "delete",
    "/submissions/{submission_id}": "delete",
}
"""Paths with a method that changes something, with that method."""

ONLY_CHANGED = {path for path in CHANGES if "get" not in DESCRIPTION["paths"][path]}

RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    *((path, RIGHT, False) for path in sorted(DESCRIPTION["paths"]) if path not in ONLY_CHANGED),
    *((path, RIGHT, True) for path in sorted(KNOWN)),
    # A request without parameters can't be wrong.
    *((path, WRONG, False) for path in sorted({*LISTS, *KNOWN})),
    ("/tasks/{task_id}.{format}", WRONG, True),
]


@pytest.fixture
async def filled(results: Results) -> Results:
    await fill(results)
    return results


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize(("path", "mode", "known"), CASES)
def test_generated_requests_get_described_answers(
    filled: Results,
    path: str,
    mode: GenerationMode,
    known: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Right and wrong ones, against a store with a task and a submission of every kind."""
    generate(filled, path, "get", mode, KNOWN.get(path) if known else None)


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize(
    ("path", "mode"),
    [
        *((path, RIGHT) for path in sorted(CHANGES)),
        # A request with neither parameters nor a body can't be wrong.
        ("/tasks/{task_id}", WRONG),
        ("/submissions/{submission_id}", WRONG),
        ("/tasks/{task_id}/speaker_names", WRONG),
    ],
)
def test_generated_changes_get_described_answers(
    filled: Results, path: str, mode: GenerationMode
) -> None:
    """The subject exists at first. After a deletion the answer is 404, which is described."""
    subject = KNOWN.get(path, {"task_id": "result"})
    generate(filled, path, CHANGES[path], mode, subject)


def generate(
    filled: Results,
    path: str,
    method: str,
    mode: GenerationMode,
    path_parameters: dict[str, str] | None,
) -> None:
    """Send generated requests, and compare each answer with the description."""
    schema = schemathesis.openapi.from_dict(CALLERS)
    schema.app = filled.loaded.app
    requests = schema[path][method].as_strategy(
        generation_mode=mode, path_parameters=path_parameters
    )

    @settings(max_examples=25, phases=[Phase.generate])
    @given(requests)
    def check(case: Case[Any]) -> None:
        # The framework itself answers a path with a line break.
        assume("%0A" not in case.formatted_path)
        case.call_and_validate(checks=CHECKS)

    check()

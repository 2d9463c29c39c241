"""The description of the results API is what the function does."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import Phase, assume, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi import checks

from tests.description import DESCRIPTION, SCHEMAS
from tests.fakes import NOW, LogLines, MemoryDocuments
from tests.functional.framework import load
from tests.results import Results, a_submission, a_task
from transcripts import errors
from transcripts.callbacks.kinds import Kind
from transcripts.results import answers as results_answers
from transcripts.results.callers import no_caller
from transcripts.results.filters import FILTERS
from transcripts.results.listing import DEFAULT_PAGE_SIZE
from transcripts.results.routes import TaskChanges, changing_routes, reading_routes
from transcripts.retry import Retrier
from transcripts.submissions import answers as submit_answers
from transcripts.submissions import submission
from transcripts.submissions.requests import MAX_ASSETS, RequestBody
from transcripts.submissions.submission import Attempt, State
from transcripts.tasks import task
from transcripts.tasks.task import Source, Status

PATHS = sorted(set(DESCRIPTION["paths"]) - {"/"})
"""Those of results; submit has one path."""

LISTS = {f"/{collection}": filters for collection, filters in FILTERS.items()}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Results:
    memory = MemoryDocuments()
    loaded = load("results", {"GOOGLE_CLOUD_PROJECT": "p"}, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    return Results(loaded, memory, remove)


def test_paths_are_those_of_the_routes(results: Results) -> None:
    """With their methods. The pages for people are no API, and are not described."""
    nothing: Any = None
    routes = (
        *reading_routes(results.documents, Retrier(), LogLines().log, nothing),
        *changing_routes(TaskChanges(nothing, nothing, nothing, no_caller)),
    )
    served = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path in PATHS for method in DESCRIPTION["paths"][path]}
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
    ("name", "values"),
    [("Status", Status), ("State", State), ("Kind", Kind), ("Part", results_answers.Part)],
)
def test_enumerations_are_those_of_the_code(name: str, values: Any) -> None:
    """Every value, in the same order."""
    assert SCHEMAS[name]["enum"] == list(values)


NAMES = {
    "SubmissionView": "Submission",
    "WholeTask": "Task",
    "ShownSpeaker": "Speaker",
    "ErrorAnswer": "Error",
}
"""The names of types whose descriptions have another one."""

STORED = {"Submission", "Task", "Speaker"}
"""Types of stored documents, whose names belong to the answers in the description."""

ANSWERS: dict[str, type[msgspec.Struct]] = {
    NAMES.get(name, name): kind
    for module in (task, submission, errors, results_answers, submit_answers)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and name not in STORED
}


def test_every_object_that_is_described_is_a_type() -> None:
    """But for the bodies of requests."""
    assert {name for name, each in SCHEMAS.items() if "properties" in each} - set(ANSWERS) == {
        "SubmitRequest"
    }


def forms(schema: dict[str, Any]) -> set[str]:
    """Return the forms that a value may have: the names of JSON's types, and those of objects."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        name = NAMES.get(name, name)
        target = SCHEMAS.get(name, {})
        if "properties" in target:
            return {name} | forms({"type": target["type"]}) - {"object"}
        return forms(target) if target else {"string"}
    if "anyOf" in schema:
        return {form for each in schema["anyOf"] for form in forms(each)}
    if "const" in schema or "enum" in schema:
        return {"string"}
    types = schema.get("type", [])
    found = {types} if isinstance(types, str) else set(types)
    if "array" in found:
        found = found - {"array"} | {f"array of {each}" for each in forms(schema["items"])}
    return found


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() & SCHEMAS.keys()))
def test_fields_are_those_of_the_code(name: str) -> None:
    """Every field is always there, and has the described form."""
    kind = ANSWERS[name]
    (_,), components = msgspec.json.schema_components([kind], ref_template="#/{name}")
    properties = components[kind.__name__]["properties"]
    described = SCHEMAS[name]["properties"]
    assert described.keys() == properties.keys()
    for each, schema in properties.items():
        # A whole number is a number.
        whole = {"integer"} if "number" in forms(schema) else set()
        assert forms(described[each]) == forms(schema) - whole, each
    assert set(SCHEMAS[name]["required"]) == set(described)


def test_request_of_submit_is_that_of_the_code() -> None:
    """Every field, and none that is refused."""
    assert set(SCHEMAS["SubmitRequest"]["properties"]) == set(RequestBody.__struct_fields__)
    assert SCHEMAS["SubmitRequest"]["properties"]["asset_ids"]["maxItems"] == MAX_ASSETS


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
    "path",
    [
        "/tasks",
        "/tasks?page_size=1",
        "/tasks/result",
        "/tasks/failed",
        "/submissions",
        "/submissions/pending",
        "/accounting",
    ],
)
async def test_answers_have_the_described_shape(results: Results, path: str) -> None:
    """Times too; ``Results`` compares every answer."""
    await fill(results)
    assert (await results.get(path)).status_code == 200


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
    *((path, RIGHT, False) for path in PATHS if path not in ONLY_CHANGED),
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

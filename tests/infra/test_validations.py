"""The variables accept good values and refuse bad ones, on both sides of every bound."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.function_policies import bounds, written
from tests.infra.sandbox import INFRA, planned, refused_arguments
from tests.infra.source import Source
from tests.infra.test_policies import refusal
from tests.infra.uses import CALLERS
from transcripts.settings import FUNCTIONS

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

TABLE: Final[Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("validations.toml").read_text()
)
VARIABLES: Final = {name: row for name, row in TABLE.items() if name != "together"}
MOST: Final = 1_000_000

Case = tuple[dict[str, Any], set[str]]
"""Values of some variables, and which of these have to be refused."""


def size_bounds(function: str) -> dict[str, tuple[Any, Any]]:
    """Return the least and the most of every whole number in function_sizes."""
    # https://cloud.google.com/run/docs/configuring/request-timeout, and Pub/Sub's deadline of 600 s
    # less the half minute that a push may be late.
    most_s = 3600 if function == "submit" else 540
    return {
        "concurrency": (1, 1000),
        "timeout_s": (bounds()[function].shortest_s, most_s),
        "min_instances": (0, MOST),
        "max_instances": (1, 1 if function == "submit" else MOST),
    }


GOOD_SIZES: Final = {"memory": ["128Mi", "16Gi"], "cpu": ["0.083", "0.5", "1", "2", "4", "6", "8"]}
BAD_SIZES: Final = {
    "memory": ["512MB", "512", "0.5Gi", "1gi", "Mi", ""],
    "cpu": ["0", "0.05", "3", "9", "1000m", ""],
}


def cases() -> list[Case]:
    """Return every case; one case has a value of each variable that does not depend on others."""
    found: list[Case] = []
    shared = {name: row for name, row in VARIABLES.items() if not row.get("alone")}
    for side in ("good", "bad"):
        columns = zip_longest(*(row[side] for row in shared.values()))
        for values in columns:
            given = {k: v for k, v in zip(shared, values, strict=True) if v is not None}
            found.append((given, set(given) if side == "bad" else set()))
        for name, row in VARIABLES.items():
            if row.get("alone"):
                found += [({name: v}, {name} if side == "bad" else set()) for v in row[side]]
    found += [(item["given"], set(item["refused"])) for item in TABLE["together"]]
    return [*found, *_size_cases()]


def _size_cases() -> list[Case]:
    found: list[Case] = []
    for function in CALLERS:
        for side in (0, 1):
            edges = {name: bounds[side] for name, bounds in size_bounds(function).items()}
            found.append(({"function_sizes": {function: edges}}, set()))
        bad = [
            *((name, least - 1) for name, (least, _) in size_bounds(function).items()),
            *((n, most + 1) for n, (_, most) in size_bounds(function).items() if most != MOST),
            *((name, least + 0.5) for name, (least, _) in size_bounds(function).items()),
            *((name, value) for name, values in BAD_SIZES.items() for value in values),
        ]
        for name, value in bad:
            found.append(({"function_sizes": {function: {name: value}}}, {"function_sizes"}))
    for name, values in GOOD_SIZES.items():
        found += [({"function_sizes": {"ingest": {name: value}}}, set()) for value in values]
    return found


@cache
def answers(folder: Path) -> list[tuple[Case, dict[str, str]]]:
    """Return what Terraform says of every case; in a changed copy, of what has changed only."""
    before, now = Source(INFRA).labelled("variable"), Source(folder).labelled("variable")
    changed = {name for name in before if folder == INFRA or now.get(name) != before[name]}
    tried = [case for case in cases() if changed & set(case[0])]
    return list(zip(tried, refused_arguments(folder, [case[0] for case in tried]), strict=True))


def wrong_answers(folder: Path) -> Iterator[str]:
    """Yield every case that the variables of a folder answer otherwise than they should."""
    for (given, refused), answer in answers(folder):
        if set(answer) != refused:
            yield f"{json.dumps(given)}: {sorted(answer)} refused, not {sorted(refused)}"


def unclear_messages(folder: Path) -> Iterator[str]:
    """Yield every message that does not name its variable, or for a size, what is wrong of it."""
    sizes = ("function", "cpu", "memory", "concurrency", "timeout_s", "_instances")
    for _, answer in answers(folder):
        for name, detail in answer.items():
            names = sizes if name == "function_sizes" else (name,)
            message = " ".join(detail.split("\n\n")[0].split())
            if not any(expected in message for expected in (*names, "submit runs as one")):
                yield f"{name}: {message}"


def test_variables_at_every_bound_accept_and_refuse() -> None:
    """The nearest value inside is accepted, the nearest value outside is refused."""
    assert list(wrong_answers(INFRA)) == []


def test_messages_of_every_validation_name_the_variable() -> None:
    """A user finds the line to change."""
    assert list(unclear_messages(INFRA)) == []


def test_variables_all_have_rows_descriptions_and_types() -> None:
    """A new variable needs a description, a type, and its bounds in validations.toml."""
    declared = Source(INFRA).labelled("variable")
    assert set(declared) == set(VARIABLES)
    for name, body in declared.items():
        assert len(body["description"]) > 20, name
        assert body.get("type"), name
        assert body.get("validation") or "bool" in body["type"], name


def test_accepted_values_are_accepted_by_the_code() -> None:
    """A value that Terraform accepts and the code refuses would stop a function at its start."""
    for settings in FUNCTIONS.values():
        for variable in settings.variables():
            row = VARIABLES.get(variable.name.lower(), {"good": []})
            for value in row["good"]:
                variable.parse(written(value))


def test_sizes_that_contradict_each_other_are_refused() -> None:
    """Contradictions that appear only after merging the defaults are refused for every function."""
    sizes = {
        name: {"cpu": "0.5", "concurrency": 54, "min_instances": 2, "max_instances": 1}
        for name in CALLERS
    }
    text = refusal({"function_sizes": sizes, "queue_concurrency": 54})
    for sentence in ("at least 1 vCPU", "must not be more than max_instances"):
        assert text.count(sentence) == len(CALLERS), text
    assert text.count("queue_concurrency must be below") == 1


def test_sizes_just_within_their_bounds_are_accepted() -> None:
    """One request at a time on less than a vCPU; as many instances always as at most."""
    sizes: dict[str, Any] = {
        name: {"cpu": "0.5", "concurrency": 1, "min_instances": 1, "max_instances": 1}
        for name in CALLERS
    }
    sizes["submit"] |= {"cpu": "1", "concurrency": 55}
    plan = planned({"function_sizes": sizes, "queue_concurrency": 54})
    assert plan.service("ingest")["available_cpu"] == "0.5"

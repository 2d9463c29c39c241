"""The variables accept good values and refuse bad ones, on both sides of every bound."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.function_policies import bounds, written
from tests.infra.sandbox import INFRA, planned, refused_arguments
from tests.infra.source import Source
from tests.infra.test_policies import refusal
from tests.infra.uses import CALLERS, SETTINGS
from transcripts.settings import WholeNumber, switch

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

TABLE: Final[Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("validations.toml").read_text()
)
VARIABLES: Final = {name: row for name, row in TABLE.items() if name != "together"}
WHOLE_NUMBERS: Final = {n for n, v in SETTINGS.items() if isinstance(v.parse, WholeNumber)}
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


GOOD_SIZES: Final = {"memory": ["128Mi", "32Gi"], "cpu": ["0.083", "0.5", "1", "2", "4", "6", "8"]}
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
    return [*found, *_setting_cases(), *_size_cases()]


def _setting_cases() -> list[Case]:
    """Return the bounds of every setting that is a whole number: those of the code."""
    found: list[Case] = []
    for name, variable in SETTINGS.items():
        if isinstance(variable.parse, WholeNumber):
            least, most = variable.parse.least, variable.parse.most
            found += [({name: value}, set()) for value in (least, most)]
            found += [({name: value}, {name}) for value in (least - 1, least + 0.5, most + 1)]
    return found


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


def test_variables_at_every_bound_accept_and_refuse() -> None:
    """The nearest value inside is accepted; outside, the message names the variable or the size."""
    sizes = ("function", "cpu", "memory", "concurrency", "timeout_s", "_instances")
    tried, wrong = cases(), []
    answers = refused_arguments([given for given, _ in tried])
    for (given, refused), answer in zip(tried, answers, strict=True):
        if set(answer) != refused:
            wrong.append(f"{json.dumps(given)}: {sorted(answer)} refused, not {sorted(refused)}")
        for name, detail in answer.items():
            message = " ".join(detail.split("\n\n")[0].split())
            if not any(one in message for one in (sizes if name == "function_sizes" else (name,))):
                wrong.append(f"{name}: {message}")
    assert wrong == []


def test_variables_all_have_bounds_that_are_tried() -> None:
    """A new variable needs its bounds in validations.toml, unless it is a setting or a switch."""
    declared = Source(INFRA).labelled("variable")
    switches = {name for name, body in declared.items() if "bool" in body["type"]}
    assert set(declared) - switches == {*VARIABLES, *(WHOLE_NUMBERS & set(declared))}
    assert switches & set(SETTINGS) == {n for n, v in SETTINGS.items() if v.parse is switch}
    assert set(declared) >= WHOLE_NUMBERS


def test_accepted_values_are_accepted_by_the_code() -> None:
    """A value that Terraform accepts and the code refuses would stop a function at its start."""
    for name, variable in SETTINGS.items():
        for value in VARIABLES.get(name, {"good": []})["good"]:
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


def test_sizes_that_cloud_run_refuses_are_refused() -> None:
    """CPU and memory belong together: https://cloud.google.com/run/docs/configuring/services/cpu"""
    sizes: dict[str, Any] = {
        "submit": {"cpu": "2", "memory": "8193Mi"},
        "ingest": {"cpu": "4", "memory": "2047Mi"},
        "callback": {"cpu": "6", "memory": "24577Mi"},
        "subscriber": {"cpu": "8", "memory": "4095Mi"},
        "results": {"cpu": "0.5", "memory": "1025Mi", "concurrency": 1},
        "sweep": {"cpu": "0.499", "memory": "513Mi", "concurrency": 1},
    }
    text = refusal({"function_sizes": sizes})
    assert text.count("change cpu or memory") == len(sizes), text
    assert "Cloud Run gives 4 vCPU from 2048 to 16384 MiB" in text


def test_sizes_just_within_their_bounds_are_accepted() -> None:
    """As many instances always as at most; memory and CPU at the bounds of Cloud Run."""
    sizes: dict[str, Any] = {
        "submit": {"cpu": "1", "memory": "4Gi", "concurrency": 55},
        "ingest": {"cpu": "0.5", "memory": "1Gi", "concurrency": 1},
        "callback": {"cpu": "6", "memory": "4Gi"},
        "subscriber": {"cpu": "8", "memory": "32Gi"},
        "results": {"cpu": "4", "memory": "2Gi"},
        "sweep": {"cpu": "0.08", "memory": "512Mi", "concurrency": 1},
    }
    for size in sizes.values():
        size |= {"min_instances": 1, "max_instances": 1}
    plan = planned({"function_sizes": sizes, "queue_concurrency": 54})
    assert plan.service("ingest")["available_cpu"] == "0.5"

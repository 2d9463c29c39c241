"""Filters of Cloud Logging and Cloud Monitoring, compared by meaning.

https://cloud.google.com/logging/docs/view/logging-query-language
https://cloud.google.com/monitoring/api/v3/filters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Clause = tuple[str, str, frozenset[str]]
"""The compared field, the operator, and the values (one of them has to match)."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+|\s+')
_COMPARISON: Final = re.compile(r"\s*([\w.]+)\s*(!=|>=|<=|=~|!~|=|:|<|>)\s*(.*)", re.DOTALL)


def parse_filter(text: str) -> frozenset[Clause]:
    """Return the clauses that are joined by AND; order, blanks and quotes make no difference."""
    return frozenset(_clause(part) for part in _split(text, "AND"))


_SEVERITIES: Final = ("DEFAULT", "INFO", "WARNING", "ERROR", "CRITICAL")
_REGEX: Final = re.compile(r'monitoring\.regex\.full_match\("(.*)"\)')


def matches(text: str, entry: Mapping[str, Any]) -> bool:
    """Tell whether a filter selects a log entry, or a time series, given as in the API's JSON."""
    return all(_holds(clause, entry) for clause in parse_filter(text))


def _holds(clause: Clause, entry: Mapping[str, Any]) -> bool:
    name, comparison, wanted = clause
    value: Any = entry
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    match comparison:
        case ":" if wanted == {"*"}:
            return True
        case ">=" if name == "severity":
            return _SEVERITIES.index(value) >= _SEVERITIES.index(next(iter(wanted)))
        case "!=":
            return value not in wanted
        case "=":
            patterns = [found[1] for text in wanted if (found := _REGEX.fullmatch(text))]
            return value in wanted or any(re.fullmatch(each, value) for each in patterns)
    raise ValueError(f"{clause} is not understood")


def _split(text: str, word: str) -> list[str]:
    """Split at ``word``, but not inside quotes or parentheses."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(_unwrapped(text)):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == word and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _clause(text: str) -> Clause:
    text = _unwrapped(text)
    alternatives = _split(text, "OR")
    if len(alternatives) > 1:
        clauses = {_clause(alternative) for alternative in alternatives}
        if len({(name, comparison) for name, comparison, _ in clauses}) == 1:
            name, comparison, _ = next(iter(clauses))
            return name, comparison, frozenset().union(*(values for *_, values in clauses))
        return "OR", "", frozenset(str(clause) for clause in clauses)
    found = _COMPARISON.fullmatch(text)
    if found is None:
        return "", "", frozenset({re.sub(r"\s+", "", text).replace("'", '"')})
    name, comparison, value = found.groups()
    name = re.sub(r"\b(resource|metric)\.label\.", r"\1.labels.", name)
    return name, comparison, frozenset(_unquoted(one) for one in _split(value, "OR"))


def _unwrapped(text: str) -> str:
    """Remove blanks, and parentheses that hold the whole text."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for index, token in enumerate(_TOKEN.findall(text)):
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0 and index < len(_TOKEN.findall(text)) - 1:
                return text
        text = text[1:-1].strip()
    return text


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text

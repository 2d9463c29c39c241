"""docs/openapi.yaml: the description of results and submit, compared with answers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "openapi.yaml"
DESCRIPTION: Final[dict[str, Any]] = yaml.safe_load(PATH.read_text())
SCHEMAS: Final[dict[str, Any]] = DESCRIPTION["components"]["schemas"]


def described_path(path: str) -> str | None:
    """Return the path of the description that a path without its query belongs to."""
    return next((each for each in DESCRIPTION["paths"] if _pattern(each).fullmatch(path)), None)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template).replace(r"\{format\}", ".+")
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/.]+", escaped))


def check_answer(method: str, path: str, status: int, content: Any) -> None:
    """Raise ``jsonschema.ValidationError`` if a JSON answer to a described path is of other shape.

    An error has the one shape, whether its status is described or not.
    """
    described = described_path(path)
    operation = DESCRIPTION["paths"].get(described, {}).get(method.lower())
    if operation is None:
        return
    if status >= 400:
        schema = {"$ref": "#/components/schemas/Error"}
    else:
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    _validator(schema).validate(content)


def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema | {"components": DESCRIPTION["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )

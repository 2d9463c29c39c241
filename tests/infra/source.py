"""How ``infra/`` is written: what no plan shows, such as ``lifecycle``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from hcl2.api import loads

Body = Mapping[str, Any]
"""The arguments and blocks of a resource: an expression is ``${…}``, a block a list."""

_INSTANCE: Final = re.compile(
    r"\$\{((?:google_\w+|terraform_data)\.\w+(?:\[[^\[\]]+\])?)(?:\.\w+)?\}"
)


def resources(folder: Path) -> dict[str, Body]:
    """Return every resource of a configuration, by address without index."""
    found: dict[str, Body] = {}
    for path in sorted(folder.glob("*.tf")):
        found.update(_resources(path.read_text()))
    return found


@cache
def _resources(text: str) -> dict[str, Body]:
    blocks = loads(text).get("resource", [])
    return {
        f"{kind}.{name}": body
        for block in blocks
        for kind, named in block.items()
        for name, body in named.items()
    }


def block(body: Body, name: str) -> Body:
    """Return the first block of that name; empty if there is none."""
    found: list[Body] = body.get(name) or [{}]
    return found[0]


def dynamic(body: Body, name: str) -> Body:
    """Return the content of a dynamic block; empty if there is none."""
    for item in body.get("dynamic", []):
        if name in item:
            return block(item[name], "content")
    return {}


def instance_of(expression: object) -> str:
    """Return the instance that an expression is, or has an attribute of; empty if there is none."""
    found = _INSTANCE.fullmatch(str(expression))
    return found[1] if found else ""

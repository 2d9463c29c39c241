"""The Terraform configuration as written, with parts that no plan shows, such as ``lifecycle``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hcl2.api import loads

Body = Mapping[str, Any]
"""Arguments and nested blocks: an expression is ``${…}``, a nested block is a list of bodies."""

_ADDRESS: Final = re.compile(r"\b(?:data\.)?(?:google_\w+|terraform_data)\.\w+|\blocal\.\w+")
_INSTANCE: Final = re.compile(
    r"\$\{((?:google_\w+|terraform_data)\.\w+(?:\[[^\[\]]+\])?)(?:\.\w+)?\}"
)


class Source:
    """Every block of the ``.tf`` files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.blocks: dict[str, list[Body]] = {}
        for path in sorted(folder.glob("*.tf")):
            for kind, bodies in loads(path.read_text()).items():
                self.blocks.setdefault(kind, []).extend(bodies)

    @cached_property
    def resources(self) -> dict[str, Body]:
        """Every managed resource, by its address without an index."""
        return self._named("resource")

    @cached_property
    def data(self) -> dict[str, Body]:
        """Every data source, by its address without ``data.``."""
        return self._named("data")

    @cached_property
    def locals(self) -> dict[str, Any]:
        """Every local value, as it is written."""
        return {k: v for block in self.blocks.get("locals", []) for k, v in block.items()}

    def labelled(self, kind: str) -> dict[str, Body]:
        """Return the blocks of a kind that has one label, such as ``variable``, by that label."""
        return {k: v for block in self.blocks.get(kind, []) for k, v in block.items()}

    def _named(self, kind: str) -> dict[str, Body]:
        return {
            f"{type_}.{name}": body
            for block in self.blocks.get(kind, [])
            for type_, named in block.items()
            for name, body in named.items()
        }

    def dependencies(self, address: str) -> set[str]:
        """Return every resource that Terraform makes before ``address``, through locals too."""
        found: set[str] = set()
        todo = [address]
        while todo:
            name = todo.pop()
            if name not in self._direct:
                self._direct[name] = self._named_in(name)
            new = self._direct[name] - found
            found |= new
            todo += new
        return found

    @cached_property
    def _direct(self) -> dict[str, set[str]]:
        return {}

    def with_resource(self, address: str, body: Body) -> Source:
        """Return the same source with another body of a resource."""
        source = copy(self)
        source.__dict__.pop("_direct", None)
        source.resources = {**self.resources, address: body}
        return source

    def _named_in(self, address: str) -> set[str]:
        kind, _, name = address.partition(".")
        if kind == "local":
            body: Any = self.locals.get(name)
        elif kind == "data":
            body = self.data.get(name, {})
        else:
            # A precondition orders nothing that an argument does not order as well.
            body = self.resources.get(address, {})
            body = {k: v for k, v in body.items() if k != "lifecycle"}
        return set(_ADDRESS.findall(str(body)))


def block(body: Body, name: str) -> Body:
    """Return the first nested block of that name; empty if it is missing."""
    found: list[Body] = body.get(name) or [{}]
    return found[0]


def instance_of(expression: object) -> str:
    """Return the resource instance that an expression is or reads; empty if it is none."""
    found = _INSTANCE.fullmatch(str(expression))
    return found[1] if found else ""

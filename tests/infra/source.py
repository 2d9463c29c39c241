"""The Terraform configuration as written, with parts that no plan shows, such as ``lifecycle``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from hcl2.api import loads

Body = Mapping[str, Any]
"""Arguments and nested blocks: an expression is ``${…}``, a nested block is a list of bodies."""

META_ARGUMENTS: Final = ("for_each", "count", "depends_on", "lifecycle")
"""https://developer.hashicorp.com/terraform/language/meta-arguments"""

_ADDRESS: Final = re.compile(r"\b(?:data\.)?(?:google_\w+|terraform_data)\.\w+|\blocal\.\w+")
_INSTANCE: Final = re.compile(
    r"\$\{((?:google_\w+|terraform_data)\.\w+(?:\[[^\[\]]+\])?)(?:\.\w+)?\}"
)


class Source:
    """Every block of the ``.tf`` files in one folder.

    An address that a ``moved`` block replaced is known by its old name, so that a renamed resource
    is the same resource to every policy.
    """

    def __init__(self, folder: Path) -> None:
        texts = [path.read_text() for path in sorted(folder.glob("*.tf"))]
        self.blocks: dict[str, list[Body]] = {}
        for text in texts:
            for kind, bodies in _parse(text).items():
                self.blocks.setdefault(kind, []).extend(bodies)
        self.moved = {
            _plain(block["to"]): _plain(block["from"]) for block in self.blocks.get("moved", [])
        }

    def old_names(self, text: str) -> str:
        """Return ``text`` with every new address of a ``moved`` block replaced by the old one."""
        for new, old in self.moved.items():
            text = re.sub(rf"(?<![\w.]){re.escape(new)}(?!\w)", old.replace("\\", r"\\"), text)
        return text

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
            self.old_names(f"{type_}.{name}"): body
            for block in self.blocks.get(kind, [])
            for type_, named in block.items()
            for name, body in named.items()
        }

    def dependencies(self, address: str) -> set[str]:
        """Return every resource that Terraform makes before ``address``, through locals too."""
        found: set[str] = set()
        todo = [address]
        while todo:
            for name in self._named_in(todo.pop()) - found:
                found.add(name)
                todo.append(name)
        return found

    def _named_in(self, address: str) -> set[str]:
        kind, _, name = address.partition(".")
        if kind == "local":
            body: Any = self.locals.get(name)
        elif kind == "data":
            body = self.data.get(name, {})
        else:
            body = self.resources.get(address, {})
        text = self.old_names(str(body))
        if isinstance(body, dict) and "lifecycle" in body:
            # A precondition orders nothing that an argument does not order as well.
            text = self.old_names(str({k: v for k, v in body.items() if k != "lifecycle"}))
        return set(_ADDRESS.findall(text))


@cache
def _parse(text: str) -> Mapping[str, list[Body]]:
    parsed: Mapping[str, list[Body]] = loads(text)
    return parsed


def _plain(expression: object) -> str:
    return str(expression).removeprefix("${").removesuffix("}")


def block(body: Body, name: str) -> Body:
    """Return the first nested block of that name; empty if it is missing."""
    found: list[Body] = body.get(name) or [{}]
    return found[0]


def arguments(body: Body, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every argument; a ``dynamic`` block counts as the block it makes."""
    for name, value in body.items():
        if name == "dynamic":
            for item in value:
                for label, dynamic in item.items():
                    for content in dynamic["content"]:
                        yield from _nested(content, f"{prefix}{label}")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:
                yield from _nested(item, f"{prefix}{name}")
        else:
            yield f"{prefix}{name}"


def _nested(body: Body, path: str) -> Iterator[str]:
    """Yield the paths inside a block, or the block's own path if it is empty."""
    found = list(arguments(body, f"{path}."))
    yield from found or [path]


def instance_of(expression: object) -> str:
    """Return the resource instance that an expression is or reads; empty if it is none."""
    found = _INSTANCE.fullmatch(str(expression))
    return found[1] if found else ""

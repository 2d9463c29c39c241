"""docs/commands.md lists the commands as they are."""

from __future__ import annotations

import re
from typing import cast

import click
import pytest

from cli.failures import ExitCode
from cli.main import COMMANDS, main
from tests.command_line import is_command_line
from tests.docs import DOCS

PAGE = (DOCS / "commands.md").read_text()
EXAMPLES = re.findall(r"`transcripts ((?:[a-z]+-?)+[^`]*)` \|$", PAGE, re.MULTILINE)


def test_documented_commands_equal_those_of_the_program() -> None:
    """In the order of ``transcripts --help``."""
    table = PAGE.partition("## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == list(COMMANDS)


def test_documented_commands_have_an_example_each() -> None:
    """The example is of its own command."""
    assert [example.split()[0] for example in EXAMPLES] == list(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_example_is_a_valid_command_line(example: str) -> None:
    """Every option and argument is accepted; nothing is run."""
    assert is_command_line(f"transcripts {example}")


def test_documented_options_and_variables_exist() -> None:
    """Those that choose a pipeline, with their variables."""
    section = PAGE.partition("## Which pipeline")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \|", section, re.MULTILINE)
    submit = cast(click.Group, main).get_command(click.Context(main), "submit")
    assert submit is not None
    known = {(each.opts[0], each.envvar) for each in submit.params if each.envvar}
    assert set(rows) == known


def test_documented_exit_codes_equal_those_of_the_program() -> None:
    """Each code once."""
    codes = re.findall(r"^\| ([0-9]+) \|", PAGE, re.MULTILINE)
    assert [int(code) for code in codes] == sorted(ExitCode)

"""Commands of modal's that our errors, help texts and guide tell people to type are ones that it has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from modal.cli.entry_point import entrypoint_cli

ROOT = Path(__file__).parents[2]
PLACES = [*(ROOT / "plugins" / "modal" / "src").rglob("*.py"), ROOT / "plugins/modal/README.md", ROOT / "docs/modal.md"]
COMMAND = re.compile(r"(?<![\w-])modal (app|container|function|image|profile|token) ([a-z|]+)")


def named() -> list[tuple[str, str]]:
    found = {match.groups() for place in PLACES for match in COMMAND.finditer(place.read_text())}
    return sorted({(group, name) for group, names in found for name in names.split("|")})


@pytest.mark.parametrize(("group", "name"), named())
def test_a_command_of_modals_exists(group: str, name: str) -> None:
    """By the command line that is installed here."""
    context = click.Context(entrypoint_cli)
    commands = entrypoint_cli.get_command(context, group)
    assert isinstance(commands, click.Group)
    assert commands.get_command(context, name) is not None


def test_some_were_found() -> None:
    """The pattern above still matches how they are written."""
    assert {("app", "logs"), ("app", "info"), ("token", "new"), ("image", "logs")} <= set(named())

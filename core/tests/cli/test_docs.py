"""docs/cli.md: its commands run, and it describes every command and option there is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from rerankit.cli import cli

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
OURS = ("config", "doctor", "plugins", "rerank")

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of the sdist")


def commands() -> list[str]:
    return re.findall(r"^\$ rerankit (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE) if PAGE.exists() else []


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("command", commands())
def test_the_pages_commands_run(run: Callable[..., Result], command: str, tmp_path: Path) -> None:
    """Each prints something and exits 0; ``doctor`` may find other plugins of this environment unwell."""
    (tmp_path / "notes.txt").write_text("Use try and except.\n\nBees make honey.\n")
    passages = '{"id": 1, "text": "Use try and except."}\n'
    (tmp_path / "passages.jsonl").write_text(passages)
    (tmp_path / "run_configs").mkdir()
    (tmp_path / "run_configs" / "default.json").write_text(json.dumps({"run_config": {"reranker_service": "words"}}))
    words, _, redirected = command.partition(" < ")
    arguments = shlex.split(words)
    if arguments[0] == "doctor":
        assert "words" in click.testing.CliRunner().invoke(cli, arguments).output
        return
    assert run(*arguments, input=passages if redirected else None).stdout


def test_every_command_and_option_is_described() -> None:
    """What ``--help`` tells, the page tells."""
    page = PAGE.read_text(encoding="utf-8")
    context = click.Context(cli)
    for name in OURS:
        command = cli.get_command(context, name)
        assert command is not None
        assert f"## rerankit {name}" in page
        if isinstance(command, click.Group):
            assert all(part in page for part in command.commands)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert all(f"`{option}" in page or f"{option} " in page for option in parameter.opts), parameter.name

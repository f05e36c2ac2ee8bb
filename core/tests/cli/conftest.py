"""A command line of its own: no configuration but the test's, and a plugin that counts shared words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rerankit.cli import cli

PLUGIN = """
import rerankit

@rerankit.hookimpl
def rerankit_rerankers():
    return [
        rerankit.RerankerSpec(
            "words", "words_backend:Words", arguments="words_backend:Arguments", summary="shared words"
        ),
        rerankit.RerankerSpec("backwards", "words_backend:Backwards"),
        rerankit.RerankerSpec("crashes", "words_backend:Crashes"),
    ]

@rerankit.hookimpl
def rerankit_commands():
    return [
        rerankit.CommandSpec("greet", "words_command:greet", summary="says hello"),
        rerankit.CommandSpec("plugins", "words_command:greet", summary="would take the place of ours"),
        rerankit.CommandSpec("lost", "words_command:lost", summary="cannot be loaded"),
    ]
"""

BACKEND = """
import rerankit
from pydantic import SecretStr
from rerankit.arguments import ServiceArguments
from rerankit.errors import UnavailableError
from rerankit.testing import word_overlap

class Arguments(ServiceArguments):
    weight: float = 1.0
    down: bool = False
    options: dict = {}
    api_key: SecretStr | None = None

class Words(rerankit.AbstractReranker):
    capabilities = rerankit.Capabilities(rerankit.ScoreKind.PROBABILITY)
    def __init__(self, weight=1.0, down=False, options=None, api_key=None):
        self.weight, self.down = weight, down
    def get_scores(self, query, documents):
        if self.down:
            raise UnavailableError("nobody answers", remedy="start the server")
        return [self.weight * word_overlap(query, document) for document in documents]
    def diagnose(self):
        return {"device": "abacus"}

class Backwards(Words):
    def get_scores(self, query, documents):
        return [1 - score for score in super().get_scores(query, documents)]

class Crashes(rerankit.AbstractReranker):
    def get_scores(self, query, documents):
        raise ZeroDivisionError("oops")
"""

NEEDS_MORE = """
import rerankit

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("needs_more", "not_there_at_all:Reranker", install="pip install not-there-at-all")]
"""

COMMAND = """
import click
from rerankit.errors import AuthenticationError

@click.command()
@click.option("--fail", is_flag=True)
def greet(fail):
    if fail:
        raise AuthenticationError("who are you?", remedy="log in")
    click.echo("hello")
"""

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(("RERANK", "CONFIG_PATH")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def words(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin is installed and its service ``words`` is configured."""
    module = install("words-plugin", PLUGIN)
    (module.parent / "words_backend.py").write_text(BACKEND)
    (module.parent / "words_command.py").write_text(COMMAND)
    monkeypatch.setenv("RERANKER_SERVICE", "words")
    return module


@pytest.fixture
def needs_more(install: Callable[..., Path]) -> None:
    """A plugin is installed whose backend's library is not."""
    install("needs-more", NEEDS_MORE)


@pytest.fixture
def run() -> Run:
    """``run("rerank", "query", input=...)``: the command line in this process."""

    def run(*args: str, input: str | bytes | None = None, status: int = 0, **keywords: Any) -> Result:
        result = CliRunner().invoke(cli, args, input=input, prog_name="rerankit", **keywords)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run

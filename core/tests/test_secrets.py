"""Secrets come from the environment or ``.env``, and are nowhere shown: those of fallbacks and of stages neither."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rerankit import load_reranker
from rerankit.cli import cli
from rerankit.errors import ConfigurationError, InvalidArgumentError

SECRET = "sk-very-secret"

ARGUMENTS = """
from pydantic import SecretStr
class Arguments(ServiceArguments):
    size: int = 1
    api_key: SecretStr | None = None

class Backend"""


@pytest.fixture(autouse=True)
def acme(
    install: Callable[..., Path], source: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service with a secret, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    install("acme-rerank", source("acme", arguments="Arguments").replace("class Backend", ARGUMENTS))


WITH_SECRET = {"service": "acme", "args": {"api_key": SECRET}}
SECTIONS = {
    "arguments": {"reranker_service": "acme", "reranker_args": {"api_key": SECRET}},
    "fallback": {"reranker_service": "acme", "reranker_policy": {"fallback": [WITH_SECRET]}},
    "stage": {"reranker_service": "cascade", "reranker_args": {"first": "acme", "second": WITH_SECRET}},
    "fallback's stage": {
        "reranker_service": "acme",
        "reranker_policy": {"fallback": [{"service": "cascade", "args": {"first": WITH_SECRET, "second": "acme"}}]},
    },
}


def write(section: dict[str, Any]) -> None:
    Path("c.json").write_text(json.dumps({"run_config": section}))


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("arguments", "RERANKER_ARGS__API_KEY"),
        ("fallback", "RERANKER_POLICY__FALLBACK"),
        ("stage", "RERANKER_ARGS__SECOND"),
        ("fallback's stage", "RERANKER_POLICY__FALLBACK"),
    ],
)
def test_a_secret_in_the_file_is_refused_wherever_it_stands(
    place: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading and ``config validate`` agree, the remedy names the variable, and nothing shows the secret."""
    write(SECTIONS[place])
    monkeypatch.setenv("RERANKER_CONFIG", "c.json")
    with pytest.raises(ConfigurationError, match=r"'api_key' is a secret") as caught:
        load_reranker()
    assert variable in caught.value.remedy
    checked = CliRunner().invoke(cli, ["config", "validate"])
    assert (checked.exit_code, variable in checked.stderr) == (3, True)
    for arguments in (["config", "validate"], ["config", "show"], ["config", "show", "--json"], ["doctor", "--json"]):
        assert SECRET not in CliRunner().invoke(cli, arguments).output


@pytest.mark.parametrize("dotenv", [False, True])
@pytest.mark.parametrize(
    "variables",
    [
        {"SERVICE": "acme", "ARGS__API_KEY": SECRET},
        {"SERVICE": "acme", "POLICY__FALLBACK": json.dumps([WITH_SECRET])},
        {"SERVICE": "cascade", "ARGS__FIRST": "acme", "ARGS__SECOND": json.dumps(WITH_SECRET)},
    ],
)
def test_a_secret_in_the_environment_is_taken_and_not_shown(
    variables: dict[str, str], dotenv: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the log at debug, not by ``config show``, not in a repr."""
    if dotenv:
        Path(".env").write_text("".join(f"RERANKER_{name}='{value}'\n" for name, value in variables.items()))
    else:
        for name, value in variables.items():
            monkeypatch.setenv(f"RERANKER_{name}", value)
    with caplog.at_level(logging.DEBUG), load_reranker() as reranker:
        assert reranker.get_scores("q", ["a"]) == [0.5]
        assert SECRET not in repr(vars(reranker))
    assert SECRET not in caplog.text
    for arguments in (["config", "validate"], ["config", "show"], ["config", "show", "--json"]):
        shown = CliRunner().invoke(cli, arguments)
        assert shown.exit_code == 0
        assert SECRET not in shown.output


@pytest.mark.parametrize(
    "section",
    [
        {"reranker_service": "acme", "reranker_policy": {"fallback": [{**WITH_SECRET, "agrs": 1}]}},
        {"reranker_service": "acme", "reranker_policy": {"fallback": [{"service": "acme", "agrs": {"k": SECRET}}]}},
        {"reranker_service": "acme", "reranker_policy": {"fallback": [{"service": ["acme"], "args": {"k": SECRET}}]}},
        {"reranker_service": "acme", "reranker_policy": {"fallback": WITH_SECRET}},
        {"reranker_service": "acme", "reranker_policy": {"falback": [WITH_SECRET]}},
        {"reranker_service": "acme", "reranker_args": {"api_key": [SECRET]}},
        {"reranker_service": "acme", "reranker_args": {"apikey": SECRET}},
        {"reranker_service": "cascade", "reranker_args": {"first": "acme", "second": {**WITH_SECRET, "x": 1}}},
        {"reranker_service": "cascade", "reranker_args": {"first": "acme", "second": {"args": {"k": SECRET}}}},
    ],
)
def test_an_error_about_a_section_does_not_quote_it(section: dict[str, Any]) -> None:
    """A misspelt key beside a secret, or around it."""
    write(section)
    with pytest.raises(InvalidArgumentError) as caught:
        load_reranker(config="c.json")
    assert SECRET not in f"{caught.value!s} {caught.value.value!r} {caught.value.to_dict()}"
    for arguments in (["config", "validate", "c.json"], ["config", "show"]):
        shown = CliRunner(env={"RERANKER_CONFIG": "c.json"}).invoke(cli, arguments)
        assert shown.exit_code in (0, 3)
        assert SECRET not in shown.output


def test_a_stage_that_is_not_installed_shows_before_it_is_needed() -> None:
    """``config validate`` and loading name it."""
    write({"reranker_service": "cascade", "reranker_args": {"first": "acmee", "second": "acme"}})
    checked = CliRunner().invoke(cli, ["config", "validate", "c.json"])
    assert (checked.exit_code, "did you mean 'acme'" in checked.stderr) == (3, True)

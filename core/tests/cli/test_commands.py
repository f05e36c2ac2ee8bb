"""The group, ``plugins``, ``doctor`` and ``config``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rerankit.plugins.manager import plugin_manager

Run = Callable[..., Result]
Install = Callable[..., Path]

LIGHT = """
import sys
sys.argv = ["rerankit", *{arguments!r}]
from rerankit.cli import main
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
roots = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(roots - set(sys.stdlib_module_names) - {{"__main__", "_distutils_hack"}}), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"], ["rerank", "--help"]])
def test_help_and_plugins_import_nothing_heavy(arguments: list[str], words: Path) -> None:
    """Beside rerankit and the plugins' light modules only click and pluggy: no pydantic, no rich, no torch."""
    program = LIGHT.format(arguments=arguments)
    env = {**os.environ, "PYTHONPATH": str(words.parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    modules = {name for name in json.loads(done.stderr.replace("'", '"')) if not name.startswith("rerankit_")}
    # The help of one of our commands asks no plugin.
    light = set() if arguments[0] == "rerank" else {"words_plugin"}
    assert modules == {"click", "pluggy", "rerankit"} | light


@pytest.mark.parametrize("command", [["-m", "rerankit"], ["-c", "from rerankit.cli import main; main()"]])
def test_two_ways_to_start_it(command: list[str]) -> None:
    """``python -m rerankit`` is ``rerankit``."""
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rerankit 0.")


def test_output_to_an_ascii_terminal_is_no_traceback(words: Path) -> None:
    """Characters the terminal lacks are replaced, not raised."""
    command = [sys.executable, "-m", "rerankit", "rerank", "red", "rot ist röter", "blå"]
    env = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(words.parent), "RERANKER_SERVICE": "words"}
    done = subprocess.run(command, capture_output=True, env=env, check=True)
    assert b"r?ter" in done.stdout


def test_help_lists_plugins_commands_without_importing_them(run: Run, words: Path) -> None:
    """A plugin's command stands beside ours, and cannot take the name of one of ours."""
    shown = run("--help").stdout
    assert re.search(r"^  greet +says hello$", shown, re.MULTILINE)
    assert "would take the place of ours" not in shown
    assert "words_command" not in sys.modules
    assert run("greet").stdout == "hello\n"
    assert "words-plugin" in run("plugins").stdout


def test_a_plugins_command_fails_as_ours_do(run: Run, words: Path) -> None:
    """Its rerankit errors are told with code and remedy; one that cannot be loaded says whose it is."""
    assert run("greet", "--fail", status=5).stderr == "error [authentication]: who are you?\nremedy: log in\n"
    assert "words_command:lost of words-plugin 1.0 cannot be loaded" in run("lost", status=1).stderr


def test_a_misspelt_command_names_the_nearest(run: Run) -> None:
    """Exit status 2."""
    assert "did you mean 'rerank'" in run("rernk", "x", "y", status=2).stderr


@pytest.mark.usefixtures("only_words")
def test_a_command_of_ours_that_is_not_installed_says_what_to_install(run: Run) -> None:
    """Like a service."""
    assert 'pip install "rerankit[local-service]"' in run("serve", status=2).stderr


# --- plugins -------------------------------------------------------------------------------------


def test_plugins_shows_broken_ones_with_the_reason(run: Run, words: Path, install: Install) -> None:
    """One broken plugin is a line in the list; in JSON all that is known."""
    install("bad-plugin", "import not_there_at_all")
    shown = run("plugins").stdout
    assert "bad-plugin 1.0  broken\n  ModuleNotFoundError: No module named 'not_there_at_all'" in shown
    assert "words-plugin 1.0  ok\n" in shown
    listed = {found["distribution"]: found for found in json.loads(run("plugins", "--json").stdout)}
    assert listed["bad-plugin"]["status"] == "broken"
    assert listed["words-plugin"]["services"][2] == {"name": "words", "summary": "shared words", "api_version": 1}


def test_strict_mode_is_told_not_raised(run: Run, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """RERANKIT_STRICT_PLUGINS=1 with a broken plugin: an error with a remedy, for the help too."""
    install("bad-plugin", "1 / 0")
    monkeypatch.setenv("RERANKIT_STRICT_PLUGINS", "1")
    plugin_manager.cache_clear()
    for arguments in (["plugins"], ["--help"]):
        assert "ZeroDivisionError" in run(*arguments, status=4).stderr


# --- doctor --------------------------------------------------------------------------------------


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {check["subject"]: check for check in json.loads(result.stdout)["checks"]}


@pytest.fixture
def only_words(words: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No other plugin of this environment counts."""
    others = {record.distribution for record in plugin_manager().records} - {"words-plugin"}
    monkeypatch.setenv("RERANKIT_DISABLED_PLUGINS", ",".join(others))
    plugin_manager.cache_clear()
    return words


def test_doctor_of_a_healthy_house(run: Run, only_words: Path) -> None:
    """Exit status 0; the configured service was loaded and tried, and tells about itself."""
    shown = run("doctor").stdout
    assert "✓ words: first answer after" in shown
    assert "device abacus" in shown
    assert "backwards: installed, not configured; to try it: rerankit doctor backwards" in shown
    assert "checks passed" in shown


@pytest.mark.usefixtures("words", "needs_more")
def test_doctor_finds_what_is_wrong(run: Run, install: Install) -> None:
    """A broken plugin, a missing package, an outage: each failed, with its remedy, and exit status 1."""
    install("bad-plugin", "1 / 0")
    found = checks(run("doctor", "--json", status=1))
    assert found["plugin bad-plugin"]["status"] == "failed"
    assert "RERANKIT_DISABLED_PLUGINS=bad-plugin" in found["plugin bad-plugin"]["remedy"]
    assert found["needs_more"]["remedy"] == "pip install not-there-at-all"
    assert found["words"]["status"] == "ok"


def test_doctor_tries_services_named_and_fallbacks(run: Run, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that ranks backwards and a backend that crashes do not pass; an outage shows the remedy."""
    monkeypatch.setenv("RERANKER_ARGS__DOWN", "true")
    monkeypatch.setenv("RERANKER_POLICY__FALLBACK", "crashes")
    found = checks(run("doctor", "backwards", "--json", status=1))
    assert (found["words"]["status"], found["words"]["remedy"]) == ("failed", "start the server")
    assert "ZeroDivisionError: oops" in found["crashes"]["detail"]
    assert "first for" in found["backwards"]["detail"]


def test_doctor_names_a_wrong_configuration(run: Run, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is still checked."""
    monkeypatch.setenv("RERANKER_POLICY__RETRIES", "many")
    found = checks(run("doctor", "--json", status=1))
    assert "RERANKER_POLICY__RETRIES" in found["configuration"]["detail"]
    assert found["words"]["status"] == "ok"


# --- config --------------------------------------------------------------------------------------


@pytest.fixture
def file(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RERANKER_SERVICE")
    path = tmp_path / "run_configs" / "default.json"
    path.parent.mkdir()
    section = {
        "reranker_service": "words",
        "reranker_args": {"weight": 2.5},
        "reranker_policy": {"fallback": [{"service": "words", "args": {"weight": 0.5}}]},
    }
    path.write_text(json.dumps({"run_config": section, "logs": {}}))
    return path


def test_config_show_says_where_each_value_comes_from(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are named, defaults too; secrets are hidden wherever they stand."""
    monkeypatch.setenv("RERANKER_ARGS__API_KEY", "hush-1")
    monkeypatch.setenv("RERANKER_POLICY__FALLBACK", '[{"service": "words", "args": {"api_key": "hush-2"}}, "words"]')
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        shown = run(*arguments, env={"COLUMNS": "200"})
        assert "hush" not in shown.output
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(shown.stdout)["settings"]}
    assert rows["reranker_service"] == ("words", "file run_configs/default.json")
    assert rows["reranker_args.weight"] == (2.5, "file run_configs/default.json")
    assert rows["reranker_args.api_key"] == ("**********", "environment: RERANKER_ARGS__API_KEY")
    assert rows["reranker_args.down"] == (False, "default")
    assert rows["reranker_policy.retries"] == (0, "default")


def test_config_show_in_a_narrow_terminal(run: Run, file: Path) -> None:
    """A line a setting, whole, where three columns have no room."""
    lines = run("config", "show", env={"COLUMNS": "60"}).stdout.splitlines()
    assert "reranker_args.weight: 2.5 (file run_configs/default.json)" in lines


def test_config_show_hides_secrets_of_a_cascades_stages(run: Run, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows the rest of them."""
    stage = {"service": "words", "args": {"api_key": "hush", "weight": 0.5}}
    monkeypatch.setenv("RERANKER_SERVICE", "cascade")
    monkeypatch.setenv("RERANKER_ARGS", json.dumps({"first": "words", "second": stage}))
    shown = run("config", "show", "--json")
    rows = {row["name"]: row["value"] for row in json.loads(shown.stdout)["settings"]}
    assert "hush" not in shown.output
    assert rows["reranker_args.first"] == "words"
    assert rows["reranker_args.second"] == {"service": "words", "args": {"api_key": "**********", "weight": 0.5}}


def test_config_show_of_an_unknown_service_hides_its_arguments(
    run: Run, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say which of them are secret."""
    monkeypatch.setenv("RERANKER_SERVICE", "wrods")
    monkeypatch.setenv("RERANKER_ARGS__API_KEY", "hush")
    shown = run("config", "show")
    assert "wrods" in shown.stdout
    assert "hush" not in shown.output


def test_config_schema_names_every_services_arguments(run: Run, words: Path) -> None:
    """What an editor needs to complete and check the file."""
    schema = json.loads(run("config", "schema").stdout)
    assert "words" in schema["properties"]["run_config"]["properties"]["reranker_service"]["enum"]
    assert "weight" in json.dumps(schema["$defs"])


def test_config_validate(run: Run, file: Path) -> None:
    """A right file is said to be right; a wrong one names the value and where it stands, exit status 3."""
    assert run("config", "validate").stdout == "run_configs/default.json is valid: words, then words\n"
    file.write_text(json.dumps({"run_config": {"reranker_service": "words", "reranker_args": {"weight": "heavy"}}}))
    result = run("config", "validate", str(file), "--json", status=3)
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "invalid_argument"
    assert "'heavy'" in error["message"]
    file.write_text('{"run_config": {\n  "reranker_service": words}}')
    assert "line 2, column 23" in run("config", "validate", status=3).stderr
    assert "nowhere.json" in run("config", "validate", "nowhere.json", status=3).stderr

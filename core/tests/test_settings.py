"""Every source is read, merged by the stated precedence, and named where a value is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit import RERANKER_MAPPING, load_reranker
from rerankit.errors import ConfigFileError, ConfigurationError, InvalidArgumentError
from rerankit.schema import config_schema
from rerankit.settings import DEFAULT_SERVICE, UNSET, Settings, Source, merge, read_settings

Install = Callable[..., Path]
WriteConfig = Callable[[Any], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without settings of ours."""
    monkeypatch.chdir(tmp_path)
    for name in ("RERANKER_SERVICE", "RERANKER_ARGS", "RERANKER_POLICY", "RERANKER_CONFIG", "CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write_config(folder: Path) -> WriteConfig:
    """Write ``run_configs/default.json``, with foreign sections around the ``run_config`` given."""

    def write(run_config: Any) -> Path:
        path = folder / "run_configs" / "default.json"
        path.parent.mkdir(exist_ok=True)
        foreign = {"logs": {"level": "x"}, "retriever_args": {"n_retrieval": 256}, "reranker_like": 1}
        path.write_text(json.dumps({**foreign, "run_config": run_config}))
        return path

    return write


# --- precedence ------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", None])
sources = st.builds(
    Source,
    st.just("x"),
    st.one_of(st.just(UNSET), names),
    st.dictionaries(st.sampled_from(["k", "l", "m"]), st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["p", "q"]), st.integers(), max_size=2),
)


@given(st.lists(sources, min_size=4, max_size=4))
def test_every_combination_of_sources_keeps_the_precedence(found: list[Source]) -> None:
    """The highest source that names a service decides; arguments of another service never leak into it."""
    labelled = [Source(f"s{i}", s.service, s.args, s.policy) for i, s in enumerate(found)]
    settings = merge(labelled)
    stated = [s.service for s in labelled if s.service is not UNSET] + [DEFAULT_SERVICE]
    assert settings.service == stated[0]
    for key in ("k", "l", "m"):
        holders = [s for i, s in enumerate(labelled) if key in s.args and _owner(labelled, i) == settings.service]
        assert settings.args.get(key) == (holders[0].args[key] if holders else None)
        assert settings.sources.get(f"args.{key}") == (holders[0].label if holders else None)
    for key in ("p", "q"):
        holders = [s for s in labelled if key in s.policy]
        assert settings.policy.get(key) == (holders[0].policy[key] if holders else None)


def _owner(found: list[Source], position: int) -> object:
    below = [s.service for s in found[position:] if s.service is not UNSET]
    return below[0] if below else DEFAULT_SERVICE


@given(
    call=st.booleans(),
    env=st.sampled_from(["none", "whole", "nested", "both"]),
    dotenv=st.booleans(),
    file=st.booleans(),
)
def test_the_real_sources_are_read_in_that_order(
    tmp_path_factory: pytest.TempPathFactory, call: bool, env: str, dotenv: bool, file: bool
) -> None:
    """Call, environment, .env, JSON file: each with one argument of its own and one they all set."""
    folder = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        expected: dict[str, Any] = {}
        if file:
            (folder / "c.json").write_text(
                json.dumps({"run_config": {"reranker_service": "a", "reranker_args": {"shared": "file", "file": 1}}})
            )
            patch.setenv("RERANKER_CONFIG", "c.json")
            expected |= {"shared": "file", "file": 1}
        if dotenv:
            (folder / ".env").write_text("RERANKER_SERVICE=a\nRERANKER_ARGS__SHARED=dotenv\nRERANKER_ARGS__DOTENV=1\n")
            expected |= {"shared": "dotenv", "dotenv": "1"}
        if env != "none":
            patch.setenv("RERANKER_SERVICE", "a")
        if env in ("whole", "both"):
            patch.setenv("RERANKER_ARGS", '{"shared": "whole", "whole": 1}')
            expected |= {"shared": "whole", "whole": 1}
        if env in ("nested", "both"):
            patch.setenv("RERANKER_ARGS__SHARED", "nested")
            expected |= {"shared": "nested"}
        args: dict[str, Any] = {"shared": "call", "call": 1} if call else {}
        settings = read_settings("a" if call else UNSET, args)
        assert settings.service == ("a" if call or dotenv or file or env != "none" else DEFAULT_SERVICE)
        assert dict(settings.args) == {**expected, **args}


def test_a_higher_source_that_names_another_service_drops_lower_arguments(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``RERANKER_SERVICE=mini`` over a file for Modal must not hand Modal's app_name to mini."""
    write_config(
        {"reranker_service": "modal", "reranker_args": {"app_name": "x"}, "reranker_policy": {"deadline_s": 2}}
    )
    monkeypatch.setenv("RERANKER_SERVICE", "mini")
    settings = read_settings()
    assert (settings.service, dict(settings.args)) == ("mini", {})
    assert settings.policy == {"deadline_s": 2}


# --- the sources -------------------------------------------------------------------------------------


def test_with_nothing_configured_the_service_is_mini() -> None:
    """The embedded default needs no configuration."""
    assert read_settings().service == "mini"
    assert read_settings().sources == {"service": "default"}


def test_null_means_no_reranking(write_config: WriteConfig) -> None:
    """``reranker_service: null`` keeps the input order, and says so; ``reranker_args: null`` is no arguments."""
    write_config({"reranker_service": None, "reranker_args": None})
    reranker = load_reranker()
    ranking = reranker.rerank("q", ["b", "a"], top_n=1)
    assert [d.index for d in ranking] == [0]
    assert (ranking.served_by, ranking[0].score, ranking.partial) == ("input_order", None, True)
    with pytest.raises(ConfigurationError, match="reranker_service is null"):
        reranker.get_scores("q", ["a"])


def test_foreign_sections_and_variables_are_left_alone(write_config: WriteConfig, folder: Path) -> None:
    """The file and .env are the application's; rerankit reads its own part."""
    write_config({"reranker_service": "acme", "retriever_service": "x", "pipeline_args": {}})
    (folder / ".env").write_text("DATABASE_URL=postgres://u:p@h/d\nRERANKER_SERVICE_URL=http://x\nBROKEN LINE\n")
    assert read_settings().service == "acme"


@pytest.mark.parametrize("variable", ["RERANKER_CONFIG", "CONFIG_PATH"])
def test_a_file_that_was_named_and_is_absent_is_an_error(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling back to defaults would hide a typing error in the path."""
    monkeypatch.setenv(variable, "absent.json")
    with pytest.raises(ConfigFileError, match=r"absent\.json"):
        read_settings()


def test_reranker_config_goes_before_config_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONFIG_PATH is the application's; RERANKER_CONFIG is meant for rerankit."""
    (folder / "ours.json").write_text('{"run_config": {"reranker_service": "ours"}}')
    monkeypatch.setenv("CONFIG_PATH", "absent.json")
    monkeypatch.setenv("RERANKER_CONFIG", "ours.json")
    assert read_settings().service == "ours"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"run_config": {\n  "reranker_service": mini}}', "line 2, column 23"),
        ("[]", "not an object"),
        ('{"run_config": []}', "run_config is list"),
        ('{"run_config": {"reranker_args": 3}}', "reranker_args is int"),
        ('{"run_config": {"reranker_service": 3}}', "reranker_service is 3"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"run_config": {"seed": ' + "9" * 5_000 + "}}", "cannot be read as JSON"),
        ("", "line 1, column 1"),
    ],
)
def test_a_malformed_file_is_explained(folder: Path, text: str, message: str) -> None:
    """The error names the file and the place."""
    (folder / "c.json").write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_settings(config="c.json")
    assert "c.json" in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_json(folder: Path) -> None:
    """Windows editors write one."""
    (folder / "c.json").write_bytes(b'\xef\xbb\xbf{"run_config": {"reranker_service": "acme"}}')
    assert read_settings(config="c.json").service == "acme"


def test_a_dotenv_that_is_not_text_is_named(folder: Path) -> None:
    """With what to do about it."""
    (folder / ".env").write_bytes(b"RERANKER_SERVICE=\xe9\n")
    with pytest.raises(ConfigFileError, match=r"cannot read \.env") as caught:
        read_settings()
    assert "UTF-8" in caught.value.remedy


@pytest.mark.parametrize("policy", [1, "x", [1]])
def test_a_policy_that_is_no_mapping_is_a_configuration_error(policy: Any) -> None:
    """Not a ValueError out of dict()."""
    with pytest.raises(ConfigurationError, match="reranker_policy"):
        load_reranker("cascade", policy=policy)


@pytest.mark.parametrize("seconds", ["inf", "1e300", "nan", "0", "-1"])
def test_seconds_are_positive_and_at_most_a_year(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock waits for longer."""
    monkeypatch.setenv("RERANKER_POLICY__DEADLINE_S", seconds)
    with pytest.raises(InvalidArgumentError, match="deadline_s"):
        load_reranker("cascade", first="mini", second="mini")


def test_an_unknown_reranker_key_is_an_error_that_names_the_nearest(write_config: WriteConfig) -> None:
    """``reranker_arg`` would otherwise silently mean no arguments."""
    write_config({"reranker_arg": {}})
    with pytest.raises(InvalidArgumentError, match="did you mean 'reranker_args'"):
        read_settings()


def test_a_malformed_section_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section is JSON."""
    monkeypatch.setenv("RERANKER_ARGS", "{batch_size: 3}")
    with pytest.raises(ConfigurationError, match="reranker_args"):
        read_settings()


def test_which_source_decided_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Without asking for debug nobody is bothered."""
    with caplog.at_level(logging.DEBUG, logger="rerankit.settings"):
        read_settings("acme")
    assert "reranker_service='acme', decided by call arguments" in caplog.text


# --- arguments ----------------------------------------------------------------------------------------

ARGUMENTS = """
from pydantic import SecretStr
class Arguments(ServiceArguments):
    batch_size: int = 1
    on: bool = False
    options: dict[str, int] = {}
    api_key: SecretStr | None = None

class Backend"""


@pytest.fixture
def acme(install: Install, source: Callable[..., str]) -> None:
    """A service with arguments of several types, a secret among them."""
    text = source("acme", arguments="Arguments").replace("class Backend", ARGUMENTS)
    install("acme-rerank", text.replace("self.arguments = arguments", "Backend.last = arguments"))


def last() -> dict[str, Any]:
    import acme_rerank  # type: ignore[import-not-found]

    found: dict[str, Any] = acme_rerank.Backend.last
    return found


def test_strings_of_the_environment_become_the_types_of_the_arguments(
    acme: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment variables are strings with lower-cased keys; the service's model coerces them."""
    monkeypatch.setenv("RERANKER_SERVICE", "acme")
    monkeypatch.setenv("RERANKER_ARGS__BATCH_SIZE", "64")
    monkeypatch.setenv("RERANKER_ARGS__ON", "true")
    monkeypatch.setenv("RERANKER_ARGS__OPTIONS", '{"x": 1}')
    load_reranker()
    assert last() == {"batch_size": 64, "on": True, "options": {"x": 1}}


def test_an_unknown_argument_names_the_nearest_and_its_source(acme: None, write_config: WriteConfig) -> None:
    """A TypeError from deep inside a constructor helps nobody."""
    write_config({"reranker_service": "acme", "reranker_args": {"batch_sise": 3}})
    with pytest.raises(InvalidArgumentError, match=r"'batch_sise' \(from file .*default\.json\).*'batch_size'"):
        load_reranker()


def test_a_wrong_value_is_shown_with_its_source(acme: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the reader knows which of five places to correct."""
    monkeypatch.setenv("RERANKER_SERVICE", "acme")
    monkeypatch.setenv("RERANKER_ARGS__BATCH_SIZE", "many")
    with pytest.raises(InvalidArgumentError, match=r"'many' \(from environment: RERANKER_ARGS__BATCH_SIZE\)") as caught:
        load_reranker()
    assert caught.value.value == "many"


def test_secrets_never_show(acme: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr, not in an error, not in the log, even where the name was misspelt."""
    secret = "sk-very-secret"
    monkeypatch.setenv("RERANKER_SERVICE", "acme")
    monkeypatch.setenv("RERANKER_ARGS__API_KEY", secret)
    with caplog.at_level(logging.DEBUG):
        load_reranker()
        assert secret not in repr(read_settings())
        assert last()["api_key"].get_secret_value() == secret
        assert secret not in repr(last())
        monkeypatch.setenv("RERANKER_ARGS__API_KEZ", secret)
        with pytest.raises(InvalidArgumentError, match="api_kez") as caught:
            load_reranker()
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert secret not in caplog.text


def test_a_secret_in_the_file_is_refused(acme: None, write_config: WriteConfig) -> None:
    """The file is shared and committed; the environment is not."""
    write_config({"reranker_service": "acme", "reranker_args": {"api_key": "sk-very-secret"}})
    with pytest.raises(ConfigurationError, match="secret") as caught:
        load_reranker()
    assert "RERANKER_ARGS__API_KEY" in caught.value.remedy
    assert "sk-very-secret" not in str(caught.value)


_KEYED = {"service": "acme", "args": {"api_key": "sk-very-secret"}}


@pytest.mark.parametrize(
    ("section", "variable", "environment"),
    [
        (
            {"reranker_service": "cascade", "reranker_args": {"first": "acme", "second": _KEYED}},
            "RERANKER_ARGS__SECOND",
            json.dumps(_KEYED),
        ),
        (
            {
                "reranker_service": "cascade",
                "reranker_args": {
                    "first": "acme",
                    "second": {"service": "cascade", "args": {"first": _KEYED, "second": "acme"}},
                },
            },
            "RERANKER_ARGS__SECOND",
            json.dumps({"service": "cascade", "args": {"first": _KEYED, "second": "acme"}}),
        ),
        (
            {"reranker_service": "acme", "reranker_policy": {"fallback": [_KEYED]}},
            "RERANKER_POLICY__FALLBACK",
            json.dumps([_KEYED]),
        ),
    ],
    ids=["stage", "stage of a stage", "fallback"],
)
def test_a_nested_secret_in_the_file_is_refused(
    acme: None,
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    section: dict[str, Any],
    variable: str,
    environment: str,
) -> None:
    """Also where another service's arguments or the policy hold it; the remedy's variable is taken."""
    write_config(section)
    with pytest.raises(ConfigurationError, match="'api_key' is a secret") as caught:
        load_reranker()
    assert variable in caught.value.remedy
    assert "sk-very-secret" not in str(caught.value)
    monkeypatch.setenv(variable, environment)
    load_reranker().close()


# --- schema -----------------------------------------------------------------------------------------------


def test_the_schema_knows_every_installed_service_and_its_arguments(acme: None) -> None:
    """An editor that reads the schema flags what ``load_reranker`` would refuse."""
    validator = jsonschema.Draft202012Validator(config_schema())
    validator.check_schema(config_schema())

    def valid(run_config: dict[str, Any]) -> bool:
        return bool(validator.is_valid({"logs": 1, "run_config": run_config}))

    assert valid({"reranker_service": "acme", "reranker_args": {"batch_size": 3}, "other": 1})
    assert valid({"reranker_service": None, "reranker_args": None})
    assert not valid({"reranker_service": "acme", "reranker_args": {"batch_sise": 3}})
    assert not valid({"reranker_service": "acme", "reranker_args": {"batch_size": "many"}})
    assert not valid({"reranker_service": "nobody"})
    assert not valid({"reranker_arg": {}})


def test_the_mapping_uses_its_arguments_over_the_configuration(acme: None, write_config: WriteConfig) -> None:
    """``RERANKER_MAPPING[config.reranker_service](**config.reranker_args)`` on the very file rerankit reads."""
    write_config({"reranker_service": "acme", "reranker_args": {"batch_size": 3}})
    RERANKER_MAPPING["acme"](batch_size=5)
    assert last() == {"batch_size": 5}


def test_settings_hide_the_arguments_in_their_repr() -> None:
    """They may hold secrets before they are validated."""
    assert "sk" not in repr(Settings("acme", {"api_key": "sk"}, {}, {}))
    assert "sk" not in repr(Source("call arguments", "acme", {"api_key": "sk"}))

"""Plugins are found by metadata, loaded guarded, and one that is wrong never takes the others down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerankit import RERANKER_MAPPING, load_reranker
from rerankit.errors import (
    DuplicateServiceError,
    IncompatiblePluginError,
    MissingExtraError,
    PluginLoadError,
    ServiceNotInstalledError,
    UnknownServiceError,
)
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.records import PluginRecord

Install = Callable[..., Path]
Source = Callable[..., str]


def record(distribution: str) -> PluginRecord:
    return next(r for r in plugin_manager().records if r.distribution == distribution)


def test_a_plugin_is_found_and_loaded_by_the_name_of_its_service(install: Install, source: Source) -> None:
    """Installing a distribution with the entry point is all it takes."""
    install("acme-rerank", source("acme", score=0.25), version="2.1")
    assert load_reranker("acme").get_scores("q", ["a", "b"]) == [0.25, 0.25]
    assert record("acme-rerank").version == "2.1"
    assert record("acme-rerank").services == ["acme"]


def test_listing_services_imports_no_backend(install: Install, source: Source) -> None:
    """Targets are strings, resolved when a backend is asked for."""
    install("acme-heavy", "raise RuntimeError('imported')", entry_points="")
    install(
        "acme-light", source("acme", arguments="'acme_heavy:Arguments'").replace("Backend,", "'acme_heavy:Backend',")
    )
    assert "acme" in plugin_manager().service_names()
    assert "acme_heavy" not in sys.modules


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import rerankit\n@rerankit.hookimpl\ndef rerankit_rerankers(): return 1/0", "ZeroDivisionError"),
        ("import rerankit\n@rerankit.hookimpl\ndef rerankit_rerankers(): return ['x']", "TypeError"),
        ("import rerankit\n@rerankit.hookimpl\ndef rerankit_rerankers(nonsense): return []", "PluginValidationError"),
        (
            "import rerankit\n@rerankit.hookimpl\ndef rerankit_rerankers(): return [rerankit.RerankerSpec('A b', 'x')]",
            "ValueError",
        ),
    ],
)
def test_a_broken_plugin_is_recorded_and_the_others_work(
    install: Install, source: Source, broken: str, reason: str
) -> None:
    """Whatever its light module raises, the application keeps its other services."""
    install("acme-broken", broken, version="0.9")
    install("acme-good", source("acme"))
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]
    assert record("acme-broken").status == "broken"
    assert reason in (record("acme-broken").reason or "")
    with pytest.raises(UnknownServiceError, match="acme-broken"):
        load_reranker("nope")


def test_a_misspelt_hook_is_an_error_that_names_the_right_one(install: Install) -> None:
    """A hook nobody calls would otherwise be silence."""
    install("acme-typo", "import rerankit\n@rerankit.hookimpl\ndef rerankit_reranker(): return []")
    assert record("acme-typo").status == "broken"
    assert "did you mean 'rerankit_rerankers'" in (record("acme-typo").reason or "")


@pytest.mark.parametrize(
    "points",
    [
        "[rerankit.plugins]\nthis is no entry point\n",
        "[rerankit.plugins]\nacme = not a module!\n",
        "[rerankit.plugins\nacme = acme_malformed\n",
    ],
)
def test_malformed_metadata_does_not_hide_the_other_plugins(install: Install, source: Source, points: str) -> None:
    """One bad line in any installed distribution makes the standard library raise for all of them."""
    install("acme-malformed", "", entry_points=points)
    install("acme-good", source("acme"))
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]
    assert record("acme-malformed").status == "broken"
    with pytest.raises(UnknownServiceError, match="acme-malformed"):
        load_reranker("nope")


def test_a_malformed_stranger_is_not_our_concern(install: Install, source: Source) -> None:
    """A distribution that has nothing to do with rerankit is passed over, however malformed."""
    install("stranger", "", entry_points="[console_scripts]\nwhat is this\n")
    install("acme-good", source("acme"))
    assert "stranger" not in [r.distribution for r in plugin_manager().records]
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]


def test_a_slow_light_module_is_called_slow(install: Install, source: Source) -> None:
    """Whoever lists plugins pays for it, so the list says who costs how much."""
    install("acme-slow", "import time; time.sleep(0.6)\n" + source("acme"))
    assert record("acme-slow").status == "slow"
    assert record("acme-slow").seconds >= 0.6
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]


def test_two_plugins_of_one_name_are_an_error_until_the_configuration_picks(install: Install, source: Source) -> None:
    """Which of them serves must not depend on the order of a path."""
    install("acme-one", source("acme", score=0.1), version="1.0")
    install("acme-two", source("acme", score=0.2), version="2.0")
    with pytest.raises(DuplicateServiceError) as caught:
        load_reranker("acme")
    assert "acme-one 1.0" in str(caught.value)
    assert "acme-two 2.0" in str(caught.value)
    assert load_reranker("acme-two:acme").get_scores("q", ["a"]) == [0.2]


def test_a_disabled_plugin_is_not_imported(install: Install, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """RERANKIT_DISABLED_PLUGINS names distributions, in any spelling of theirs."""
    install("acme-one", source("acme", score=0.1))
    install("acme-two", source("acme", score=0.2))
    monkeypatch.setenv("RERANKIT_DISABLED_PLUGINS", "other, Acme_One")
    plugin_manager.cache_clear()
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.2]
    assert record("acme-one").status == "disabled"
    assert "acme_one" not in sys.modules


def test_strict_mode_raises_at_a_broken_plugin(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """For continuous integration, where a broken plugin should stop the build."""
    install("acme-broken", "1/0", version="0.9")
    monkeypatch.setenv("RERANKIT_STRICT_PLUGINS", "1")
    plugin_manager.cache_clear()
    with pytest.raises(PluginLoadError, match=r"acme-broken 0\.9.*ZeroDivisionError"):
        plugin_manager()


@pytest.mark.parametrize(("version", "upgrade"), [(0, "acme-old"), (2, "rerankit")])
def test_an_incompatible_plugin_names_both_versions(
    install: Install, source: Source, version: int, upgrade: str
) -> None:
    """The error says which of the two to upgrade."""
    install("acme-old", source("acme", extra=f", api_version={version}"), version="3.3")
    with pytest.raises(IncompatiblePluginError, match=rf"3\.3.*version {version}.*version 1") as caught:
        load_reranker("acme")
    assert caught.value.remedy == f"pip install --upgrade {upgrade}"
    assert record("acme-old").status == "incompatible"


def test_one_module_under_two_entry_points_is_registered_once(install: Install, source: Source) -> None:
    """pluggy raises for it; a repeated line in a pyproject is no reason to lose the plugin."""
    points = "[rerankit.plugins]\none = acme_twice\ntwo = acme_twice\n"
    install("acme-twice", source("acme"), entry_points=points)
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]


def test_the_first_distribution_of_a_name_on_the_path_wins(install: Install, source: Source) -> None:
    """As it does for imports: an old copy further down the path is not a second plugin."""
    site = install("acme-rerank", source("acme"), version="2.0").parent
    older = site / "acme_rerank-1.0.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme.Rerank\nVersion: 1.0\n")
    (older / "entry_points.txt").write_text("[rerankit.plugins]\nacme = acme_rerank\n")
    plugin_manager.cache_clear()
    assert len([r for r in plugin_manager().records if r.distribution.lower().startswith("acme")]) == 1


def test_an_unknown_service_names_the_nearest_and_what_is_installed(install: Install, source: Source) -> None:
    """A typing error is answered with the name that was meant."""
    install("acme-rerank", source("acme"))
    with pytest.raises(UnknownServiceError, match=r"did you mean 'acme'.*installed: .*acme"):
        load_reranker("acmee")


def test_a_first_party_service_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the install line."""
    monkeypatch.setenv(
        "RERANKIT_DISABLED_PLUGINS", "rerankit-mini,rerankit-modal,rerankit-crossencoder,rerankit-local-service"
    )
    plugin_manager.cache_clear()
    try:
        with pytest.raises(ServiceNotInstalledError) as caught:
            load_reranker("flag_embedding")
    finally:
        plugin_manager.cache_clear()
    assert caught.value.remedy == 'pip install "rerankit[crossencoder]"'


def test_a_backend_that_misses_a_library_says_what_to_install(install: Install, source: Source) -> None:
    """The plugin's own words, where it has some."""
    install("acme-heavy", "import nothing_of_that_name", entry_points="")
    light = source("acme", extra=", install='pip install acme[heavy]'").replace("Backend,", "'acme_heavy:Backend',")
    install("acme-light", light)
    with pytest.raises(MissingExtraError, match="nothing_of_that_name") as caught:
        load_reranker("acme")
    assert caught.value.remedy == "pip install acme[heavy]"


@pytest.mark.parametrize(
    "target", ["'acme_light:Nobody'", "lambda: object()", "lambda: 1/0", "lambda **x: rerankit.AbstractReranker()"]
)
def test_a_target_that_makes_no_reranker_is_a_plugin_error(install: Install, source: Source, target: str) -> None:
    """The plugin is at fault, so the error names it."""
    install("acme-light", source("acme").replace("Backend,", f"{target},"))
    with pytest.raises(PluginLoadError, match="acme-light"):
        load_reranker("acme")


def test_the_mapping_is_lazy_read_only_and_raises_key_errors(install: Install, source: Source) -> None:
    """Code written for a dict of classes moves over by one import."""
    install("acme-rerank", source("acme", arguments="Arguments"))
    reranker = RERANKER_MAPPING["acme"](size="3")
    assert reranker.get_scores("q", ["a"]) == [0.5]
    assert "acme" in RERANKER_MAPPING
    assert "acme" in list(RERANKER_MAPPING)
    assert RERANKER_MAPPING.get("nope") is None
    with pytest.raises(KeyError):
        RERANKER_MAPPING["nope"]
    with pytest.raises(TypeError):
        RERANKER_MAPPING["acme"] = None  # type: ignore[index]

"""What installed distributions may be like, and what must go on working all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerankit import load_reranker
from rerankit.errors import PluginLoadError, UnknownServiceError
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.records import PluginRecord

Install = Callable[..., Path]
Source = Callable[..., str]

SPECS = "import rerankit\n@rerankit.hookimpl\ndef rerankit_rerankers(): return {}"
COMMANDS = "import rerankit\n@rerankit.hookimpl\ndef rerankit_commands(): return {}"
PANIC = "class PanicException(BaseException): pass\nraise PanicException('in Rust')"


def record(distribution: str) -> PluginRecord:
    return next(r for r in plugin_manager().records if r.distribution == distribution)


def run(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """rerankit in a process of its own, where nothing was imported before."""
    env = {**os.environ, "PYTHONPATH": str(path), "RERANKER_SERVICE": "acme"}
    return subprocess.run([sys.executable, "-m", "rerankit", *arguments], capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    "points", [b"[rerankit.plugins]\nno entry point\n", b"[x]\nno\n", b"[rerankit.plugins]\n# \xe9\n"]
)
def test_metadata_that_nobody_can_read_stops_nothing_in_a_fresh_process(
    install: Install, source: Source, points: bytes
) -> None:
    """pydantic asks for entry points of its own with its first model, and would raise here."""
    site = install("acme-rerank", source("acme", arguments="Arguments")).parent
    install("acme-broken", "")
    (site / "acme_broken-1.0.dist-info" / "entry_points.txt").write_bytes(points)
    done = run("rerank", "q", "a", "--json", path=site)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["score"] == 0.5


def test_entry_points_that_are_not_utf8_are_listed(install: Install) -> None:
    """A plugin that is silently not there is looked for long."""
    site = install("acme-latin", "").parent
    (site / "acme_latin-1.0.dist-info" / "entry_points.txt").write_bytes(
        b"[rerankit.plugins]\n# \xe9\nx = acme_latin\n"
    )
    plugin_manager.cache_clear()
    assert (record("acme-latin").status, record("acme-latin").reason) == ("broken", "entry_points.txt is not UTF-8")


@pytest.mark.parametrize(
    "metadata", [None, b"Metadata-Version: 2.1\nName: x\nAuthor: \xe9\n", b"Metadata-Version: 2.1\n"]
)
def test_distributions_without_readable_metadata_are_named_after_their_folder(
    install: Install, source: Source, metadata: bytes | None
) -> None:
    """Two of them are two, not one that hides the other."""
    for name in ("acme-one", "acme-two"):
        site = install(name, source(name)).parent
        file = site / f"{name.replace('-', '_')}-1.0.dist-info" / "METADATA"
        file.unlink()
        if metadata is not None:
            file.write_bytes(metadata)
    plugin_manager.cache_clear()
    assert {"acme-one", "acme-two"} <= set(plugin_manager().service_names())
    assert record("acme_one").version == "1.0"


def test_an_entry_point_may_name_extras(install: Install, source: Source) -> None:
    """Old packaging tools write them behind the module."""
    install("acme-rerank", source("acme"), entry_points="[rerankit.plugins]\nacme = acme_rerank [fast]\n")
    assert load_reranker("acme").get_scores("q", ["a"]) == [0.5]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (PANIC, "PanicException: in Rust"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): f()\nf()", "RecursionError"),
        ("def __getattr__(name): raise RuntimeError(name)\ndef __dir__(): return ['x']", "RuntimeError"),
        (SPECS.format("rerankit.RerankerSpec('acme2', 'x:y')"), "gave RerankerSpec, not a list"),
        (SPECS.format("7"), "gave int, not a list"),
        (SPECS.format("[rerankit.RerankerSpec('acme2', 5)]"), "target of the service 'acme2'"),
        (SPECS.format("[rerankit.RerankerSpec('acme2', 'x:y', arguments=7)]"), "arguments of the service 'acme2'"),
        (SPECS.format("[rerankit.RerankerSpec('acme2', 'x:y', install=7)]"), "install of the service 'acme2'"),
        (
            SPECS.format("[rerankit.RerankerSpec('acme2', 'x:y'), rerankit.RerankerSpec('b', 'x:y', api_version='1')]"),
            "api_version of the service 'b'",
        ),
        (SPECS.format("[rerankit.RerankerSpec('acme2', 'x:y'), rerankit.RerankerSpec('acme2', 'x:z')]"), "twice"),
        (COMMANDS.format("[rerankit.CommandSpec(None, 'x:y')]"), "a command is named by"),
        (COMMANDS.format("[rerankit.CommandSpec('a b', 'x:y')]"), "a command is named by"),
        (COMMANDS.format("[rerankit.CommandSpec('greet', 'x:y', summary=None)]"), "summary of the command 'greet'"),
    ],
)
def test_the_command_line_outlives_any_light_module(install: Install, source: Source, broken: str, reason: str) -> None:
    """Its reason is in the list; nothing of it is served, and help, listing and the other plugins work."""
    site = install("acme-broken", broken).parent
    install("acme-good", source("acme"))
    assert record("acme-broken").status == "broken"
    assert reason in (record("acme-broken").reason or "")
    with pytest.raises(UnknownServiceError):
        plugin_manager().service("acme2")
    assert run("--help", path=site).returncode == 0
    listed = run("plugins", "--json", path=site)
    assert reason in {found["distribution"]: found for found in json.loads(listed.stdout)}["acme-broken"]["reason"]


def test_an_interrupt_is_the_users_not_the_plugins(install: Install) -> None:
    """Ctrl-C while plugins load ends the program."""
    install("acme-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        plugin_manager()


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(5)",
        PANIC,
        "def Backend(): raise SystemExit(5)",
        "def Backend():\n    " + PANIC.replace("\n", "\n    "),
    ],
)
def test_a_backend_cannot_end_the_program(install: Install, source: Source, code: str) -> None:
    """Not where its module is imported, not where it is made: doctor goes on to the others, loading is an error."""
    install("acme-heavy", code, entry_points="")
    site = install("acme-light", source("acme").replace("Backend,", "'acme_heavy:Backend',")).parent
    with pytest.raises(PluginLoadError, match="acme-light"):
        load_reranker("acme")
    done = run("doctor", "--json", path=site)
    assert done.returncode == 1, done.stderr
    checks = {check["subject"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert (checks["acme"], checks["cascade"]) == ("failed", "ok")


def test_what_plugins_print_is_not_in_the_json(install: Install, source: Source) -> None:
    """Neither when they are imported nor when they score."""
    text = source("acme").replace("return [0.5]", "print('scoring'); return [0.5]")
    site = install("acme-chatty", "print('imported')\n" + text).parent
    for arguments in (["plugins", "--json"], ["rerank", "q", "a", "--json"], ["config", "show", "--json"]):
        done = run(*arguments, path=site)
        json.loads(done.stdout)
        assert "imported" in done.stderr


@pytest.mark.parametrize("name", [5, b"mini", ["mini"], {}])
def test_a_service_is_named_by_a_string(name: object) -> None:
    """Anything else is an unknown service, not a TypeError."""
    with pytest.raises(UnknownServiceError, match="named by a string"):
        load_reranker(name)  # type: ignore[arg-type]

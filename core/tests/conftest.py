"""Real distributions for the tests of discovery: files and metadata in a directory on ``sys.path``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerankit.plugins.manager import plugin_manager

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(name, module_source, version=, entry_points=)``: an installed distribution, found by its metadata."""
    site = tmp_path / "site-packages"
    site.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(site)
    plugin_manager.cache_clear()

    def install(name: str, source: str, *, version: str = "1.0", entry_points: str | None = None) -> Path:
        module = name.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = f"[rerankit.plugins]\n{name} = {module}\n" if entry_points is None else entry_points
        (info / "entry_points.txt").write_text(points)
        plugin_manager.cache_clear()
        return site / f"{module}.py"

    yield install
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(site) in str(sys.modules[module].__file__):
            del sys.modules[module]
    plugin_manager.cache_clear()


def plugin_source(service: str, *, score: float = 0.5, arguments: str = "None", extra: str = "") -> str:
    """A light module that brings one service, whose backend scores everything ``score``."""
    return f"""
import rerankit
from rerankit.arguments import ServiceArguments

class Arguments(ServiceArguments):
    size: int = 1
    flag: bool = False

class Backend(rerankit.AbstractReranker):
    capabilities = rerankit.Capabilities(score_kind=rerankit.ScoreKind.PROBABILITY)
    def __init__(self, **arguments):
        self.arguments = arguments
    def get_scores(self, query, documents):
        return [{score}] * len(documents)

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec({service!r}, Backend, arguments={arguments}, summary="for tests" {extra})]
"""


@pytest.fixture
def source() -> Callable[..., str]:
    """``plugin_source``, as a fixture, since test modules do not import each other."""
    return plugin_source

"""The site builds without a warning, and its generated pages hold all that the code has."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from rerankit import errors
from rerankit.cli import cli
from rerankit.loading import arguments_model
from rerankit.plugins import hookspecs
from rerankit.plugins.manager import plugin_manager
from rerankit.policy.settings import PolicySettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """scripts/docs_site.py, loaded as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts/docs_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_error_is_on_its_page(site: ModuleType) -> None:
    """Code, meaning, remedy."""
    page = site.errors_page()
    for name in errors.__all__:
        cls = getattr(errors, name)
        if isinstance(cls, type) and issubclass(cls, errors.RerankitError):
            assert f"\n## {cls.code}\n\n`{name}`" in page
            assert cls.default_remedy in page


def test_every_service_and_argument_is_on_its_page(site: ModuleType) -> None:
    """With a description each, the policy's too."""
    page = site.services_page()
    for service in plugin_manager().services():
        assert f"\n## {service.spec.name}\n" in page
        model = arguments_model(service)
        for name in model.model_fields if model else ():
            assert f"| `{name}` | " in page
    assert all(f"| `{name}` | " in page for name in PolicySettings.model_fields)
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_every_command_is_on_its_page(site: ModuleType) -> None:
    """Those of installed plugins too."""
    page = site.commands_page()
    for name in cli.list_commands(click.Context(cli)):
        assert f"# rerankit {name}\n" in page


def test_every_hook_is_documented() -> None:
    """docs/hooks.md has a section for each, with its signature, its time, and what happens when it raises."""
    page = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    for hook in (name for name in vars(hookspecs) if name.startswith("rerankit_")):
        section = page.split(f"\n## {hook}\n")[1].split("\n## ")[0]
        assert f"`{hook}(" in section
        assert "**When.**" in section


def test_no_page_is_lost(site: ModuleType) -> None:
    """One that nobody put in order is there all the same, once."""
    pages = ["index.md", "reference/api.md", "unheard-of.md", "integrations/index.md"]
    placed = [page for section in site.navigation(pages) for found in section.values() for page in found]
    assert sorted(placed) == sorted(pages)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors and references all lead somewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "reference/api/index.html").stat().st_size > 50_000

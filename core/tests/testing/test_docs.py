"""docs/write-a-plugin.md does what it says: its files are written, built, installed, run and tested."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "write-a-plugin.md"
_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of the sdist")


@pytest.fixture(scope="module")
def blocks() -> dict[str, tuple[str, str]]:
    """Language and text of each block, by its title."""
    return {title: (language, text) for language, title, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def folder(blocks: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, as a reader would write them."""
    folder = tmp_path_factory.mktemp("page")
    for title, (language, text) in blocks.items():
        if language in ("python", "toml"):
            path = folder / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path, *path: Path, **variables: str) -> str:
    """The command's output; the environment has only what the reader's would have."""
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith(("RERANK", "PYTEST"))}
    env |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_has_a_title(blocks: dict[str, tuple[str, str]]) -> None:
    """A block without one would not be run."""
    assert len(blocks) == PAGE.read_text(encoding="utf-8").count("\n```") // 2


def test_the_minimal_plugin(blocks: dict[str, tuple[str, str]], folder: Path, tmp_path: Path) -> None:
    """Built and installed by pip, listed, used, healthy, conforming; each command prints what the page says."""
    here = folder / "minimal"
    python = [sys.executable, "-m"]
    pip = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path), "."]
    prompts = blocks["minimal"][1].split("$ ")[1:]
    assert prompts[0] == "pip install .\n"
    run([*python, *pip], here)
    for prompt in prompts[1:]:
        command, *expected = prompt.splitlines()
        words = shlex.split(command)
        variables = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        # Other plugins of this environment need not be healthy for the page to be right.
        variables["RERANKIT_DISABLED_PLUGINS"] = (
            "rerankit-crossencoder,rerankit-local-service,rerankit-modal,rerankit-mini"
        )
        printed = run([*python, *words], here, tmp_path, **variables).splitlines()
        # How wide a column is depends on what else is installed.
        assert {" ".join(line.split()) for line in expected} <= {" ".join(line.split()) for line in printed}, printed
    run([sys.executable, "use.py"], here, tmp_path)


def test_the_grown_plugin(folder: Path) -> None:
    """It conforms, and its arguments are checked."""
    printed = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder / "grown", folder / "grown")
    assert "failed" not in printed
    run([sys.executable, "-c", "import rerankit_compression.plugin_with_command"], folder, folder / "grown")


def test_the_fakes(folder: Path) -> None:
    """The page's faults are real ones."""
    run([sys.executable, "fake.py"], folder)

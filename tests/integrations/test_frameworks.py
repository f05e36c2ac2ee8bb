"""Each integration's own tests and types, against the real framework, in an environment of its own.

Frameworks clash with each other and are large, so none of them is in the development environment.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTEGRATIONS = sorted(path.parent for path in ROOT.glob("integrations/*/pyproject.toml"))


def test_there_are_integrations() -> None:
    """Found, not listed."""
    assert {folder.name for folder in INTEGRATIONS} >= {"haystack", "langchain", "llama-index", "mteb"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("folder", INTEGRATIONS, ids=lambda folder: folder.name)
def test_an_integration_works_with_its_framework(folder: Path, tmp_path: Path) -> None:
    """Installed with core, mini and the framework: its tests pass and its types hold."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERANKER_")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(python), "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    here = [str(ROOT / "core"), str(ROOT / "plugins/mini"), f"{folder}[test]"]
    run("pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), *here)
    run("pip", "check")
    report = run("pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in report
    assert "failed" not in report
    run("mypy", "--cache-dir", str(tmp_path / "mypy"))

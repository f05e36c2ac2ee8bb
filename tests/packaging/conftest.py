"""The distributions of the workspace, built once a session: source archive first, then the wheel from it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Distribution:
    """One folder with a ``pyproject.toml``."""

    folder: Path
    name: str
    package: str
    version: str


def distributions() -> list[Distribution]:
    """Found, not listed: a new distribution is tested because it is there."""
    found = []
    for path in sorted(ROOT.glob("*/pyproject.toml")) + sorted(ROOT.glob("*/*/pyproject.toml")):
        if path.parts[len(ROOT.parts)] in ("core", "plugins", "integrations"):
            project = tomllib.loads(path.read_text())["project"]
            name = project["name"]
            found.append(Distribution(path.parent, name, name.replace("-", "_"), project["version"]))
    return found


# torch and modal are large: what needs them is installed into clean environments by `make test-all` only.
LIGHT = ("rerankit", "rerankit-mini", "rerankit-local-service")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``distribution``: each of them; ``installable``: each, the heavy ones marked slow."""
    found = distributions()
    if "distribution" in metafunc.fixturenames:
        metafunc.parametrize("distribution", found, ids=lambda distribution: distribution.name)
    if "installable" in metafunc.fixturenames:
        marks = {d.name: () if d.name in LIGHT else pytest.mark.slow for d in found}
        metafunc.parametrize("installable", [pytest.param(d, id=d.name, marks=marks[d.name]) for d in found])


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution, each built by way of its sdist."""
    folder = tmp_path_factory.mktemp("wheels")
    for distribution in distributions():
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(distribution.folder)]
        run = subprocess.run(build, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{distribution.name}:\n{run.stdout}\n{run.stderr}"
    return folder

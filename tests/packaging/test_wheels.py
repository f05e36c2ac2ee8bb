"""Every distribution builds a wheel that works alone; every extra of the core resolves from the built wheels."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CORE = tomllib.loads((ROOT / "core/pyproject.toml").read_text())["project"]


TARGETS = """
from rerankit.loading import arguments_model, resolved
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.specs import resolve
for service in plugin_manager().services():
    arguments_model(service)
    resolved(service, service.spec.target)
for command in plugin_manager().commands().values():
    resolve(command.spec.target)
"""
"""Imports every backend, every model of arguments and every command that the plugins name."""


def wheel_of(distribution: Any, wheels: Path) -> Path:
    return next(wheels.glob(f"{distribution.package}-{distribution.version}-*.whl"))


def pip(python: Path | str, *arguments: str) -> str:
    run = subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_wheel_carries_its_types_its_licence_and_nothing_of_the_tests(distribution: Any, wheels: Path) -> None:
    """What users get is the package, ``py.typed`` and the licence."""
    with zipfile.ZipFile(wheel_of(distribution, wheels)) as wheel:
        names = wheel.namelist()
    assert f"{distribution.package}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {distribution.package, f"{distribution.package}-{distribution.version}.dist-info"}
    size = wheel_of(distribution, wheels).stat().st_size
    assert size < 40e6, f"{distribution.name}: {size / 1e6:.1f} MB"


def test_all_first_party_distributions_carry_one_version(distribution: Any) -> None:
    """An extra pins its plugin to the core's own version."""
    assert distribution.version == CORE["version"]


def test_a_wheel_works_alone_in_a_clean_environment(installable: Any, wheels: Path, tmp_path: Path) -> None:
    """Installed with nothing but its dependencies, it imports, its plugin is found, and so is all that this names."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ("-c", str(ROOT / "constraints.txt"))
    pip(python, "install", "--quiet", *constraints, "--find-links", str(wheels), str(wheel_of(installable, wheels)))
    pip(python, "check")

    def run(*arguments: str) -> str:
        done = subprocess.run([str(python), *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-c", f"import {installable.package}")
    plugins = {p["distribution"]: p["status"] for p in json.loads(run("-m", "rerankit", "plugins", "--json"))}
    expected = {"rerankit": "ok"}
    if installable.folder.parent.name == "plugins":
        expected[installable.name] = "ok"
    assert plugins == expected
    run("-c", TARGETS)


@pytest.mark.parametrize("extra", sorted(CORE["optional-dependencies"]))
def test_every_extra_resolves_from_the_built_wheels(extra: str, wheels: Path) -> None:
    """``pip install "rerankit[extra]"`` finds what it names."""
    core = next(wheels.glob("rerankit-*.whl"))
    found = pip(
        sys.executable, "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-",
        "-c", str(ROOT / "constraints.txt"), "--find-links", str(wheels), f"rerankit[{extra}] @ {core.as_uri()}",
    )  # fmt: skip
    names = {item["metadata"]["name"].lower().replace("_", "-") for item in json.loads(found)["install"]}
    wanted = {Requirement(line).name for line in CORE["optional-dependencies"][extra]}
    assert {"rerankit", *wanted} <= names

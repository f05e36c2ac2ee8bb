"""What is deployed is what is installed here, entry points and all."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rerankit_modal.wheels import build_wheels, third_party_requirements


def test_an_editable_distribution_is_built(tmp_path: Path) -> None:
    """... with the entry point by which rerankit finds it."""
    assert build_wheels(["rerankit-modal"], tmp_path) == []
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        entry_points = opened.read(f"rerankit_modal-{wheel.name.split('-')[1]}.dist-info/entry_points.txt")
        assert "rerankit_modal/app.py" in opened.namelist()
    assert b"rerankit.plugins" in entry_points


def test_an_installed_distribution_is_packed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel of an installation installs, and is the same each time."""
    site, first, second = (tmp_path / name for name in ("site", "first", "second"))
    first.mkdir()
    second.mkdir()
    build_wheels(["rerankit-modal"], first)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(site), *map(str, first.iterdir())], check=True)
    monkeypatch.syspath_prepend(str(site))
    build_wheels(["rerankit-modal"], second)
    again = [path.read_bytes() for path in second.iterdir()]
    build_wheels(["rerankit-modal"], second)
    assert again == [path.read_bytes() for path in second.iterdir()]
    subprocess.run([*pip, str(tmp_path / "reinstalled"), *map(str, second.iterdir())], check=True)
    assert (tmp_path / "reinstalled" / "rerankit_modal" / "app.py").is_file()


def test_what_is_not_installed_comes_from_the_index(tmp_path: Path) -> None:
    """At the version of this distribution."""
    (requirement,) = build_wheels(["rerankit-nobody-has-this"], tmp_path)
    assert requirement.startswith("rerankit-nobody-has-this==")


def test_requirements_are_third_parties_without_extras() -> None:
    """They make a layer of their own, which changes seldom."""
    requirements = third_party_requirements(["rerankit", "rerankit-modal"])
    assert any(requirement.startswith("pluggy") for requirement in requirements)
    assert not any(requirement.startswith("rerankit") for requirement in requirements)

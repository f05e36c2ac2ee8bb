"""examples/third_party_plugin from a user's side: installed, found, configured, tested, benchmarked, uninstalled."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/third_party_plugin"
QUESTION = ["red planet", "Venus is hot", "Mars, the read plannet"]

Run = Callable[..., str]


def environment(**variables: str) -> dict[str, str]:
    """What a user's shell has: nothing of ours, nothing of this test run."""
    mine = {
        name: value for name, value in os.environ.items() if not name.startswith(("RERANK", "PYTEST", "PYTHONPATH"))
    }
    return {**mine, **variables}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment with rerankit's core, from its wheel."""
    folder = tmp_path_factory.mktemp("clean")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
    for source in (ROOT / "core", EXAMPLE):
        done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    venv.create(folder / "venv", with_pip=True)
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Run:
    """``run("-m", "rerankit", "plugins", RERANKER_SERVICE="fuzzy")`` in an empty folder; what it printed."""

    def run(*arguments: str, status: int = 0, cwd: Path = tmp_path, **variables: str) -> str:
        done = subprocess.run(
            [str(python), *arguments],
            cwd=cwd,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_third_party_plugin_is_benchmarked(python: Path, run: Run, tmp_path: Path) -> None:
    """By rerankit's own tools, which are a plugin too: figures for each size, kept in a file."""
    wheels = [str(next(python.parents[2].glob(f"{name}-*.whl"))) for name in ("rerankit", "rerankit_fuzzy")]
    run("-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), *wheels, str(ROOT / "plugins/eval"))
    sizes = ["--sizes", "4,16", "--clients", "2", "--rounds", "3"]
    run("-m", "rerankit", "bench", "--service", "fuzzy match=partial", *sizes, "--output", "kept.json")
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert (kept["service"], kept["args"]) == ("fuzzy", {"match": "partial"})
    assert all(seconds > 0 for size in ("4", "16") for seconds in kept["growth"][size])
    run("-m", "rerankit", "bench", "--service", "fuzzy match=partial", *sizes, "--against", "kept.json")
    run("-m", "pip", "uninstall", "--quiet", "--yes", "rerankit-eval", "rerankit-fuzzy")


def test_a_third_party_plugin_from_installation_to_removal(python: Path, run: Run, tmp_path: Path) -> None:
    """Every step a user takes, by the commands of its README and some more."""
    core = next(python.parents[2].glob("rerankit-*.whl"))
    run("-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(core))
    assert "fuzzy" not in run("-m", "rerankit", "plugins")

    for command in re.findall(r"^\$ (.*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=shutil.copytree(EXAMPLE, tmp_path / "example", dirs_exist_ok=True),
            env=environment(PATH=f"{python.parent}:{os.environ['PATH']}"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    listed = {p["distribution"]: p for p in json.loads(run("-m", "rerankit", "plugins", "--json"))}
    assert listed["rerankit-fuzzy"]["status"] == "ok"
    assert "fuzzy" in run("-m", "rerankit", "--help")

    by_variable = json.loads(run("-m", "rerankit", "rerank", "--json", *QUESTION, RERANKER_SERVICE="fuzzy"))
    assert by_variable["served_by"] == "fuzzy"
    assert by_variable["results"][0]["index"] == 1

    configured = json.loads(run("-m", "rerankit", "rerank", "--json", *QUESTION, cwd=EXAMPLE))
    assert configured["served_by"] == "fuzzy"
    assert [r["score"] for r in configured["results"]] != [r["score"] for r in by_variable["results"]]
    assert "run_configs/default.json" in run("-m", "rerankit", "config", "show", cwd=EXAMPLE)
    run("-m", "rerankit", "config", "validate", "run_configs/default.json", cwd=EXAMPLE)
    schema = json.loads(run("-m", "rerankit", "config", "schema"))
    assert "ignore_case" in json.dumps(schema)

    assert "partial" in run(
        "-m", "rerankit", "rerank", *QUESTION, "--service", "fuzzy", "--arg", "match=part", status=3
    )
    assert run("-m", "rerankit", "fuzzy", "mars", "Mars").strip() == "1.00"
    assert "rapidfuzz" in run("-m", "rerankit", "doctor", "fuzzy", cwd=EXAMPLE)

    run("-m", "pip", "uninstall", "--quiet", "--yes", "rapidfuzz")
    assert "pip install rerankit-fuzzy" in run("-m", "rerankit", "rerank", "q", "a", "--service", "fuzzy", status=3)
    run("-m", "pip", "uninstall", "--quiet", "--yes", "rerankit-fuzzy")
    assert "fuzzy" not in run("-m", "rerankit", "plugins")
    assert "fuzzy" in run("-m", "rerankit", "rerank", *QUESTION, status=3, RERANKER_SERVICE="fuzzy")

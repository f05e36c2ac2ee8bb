"""``rerankit bench``: figures of one service, kept, drawn, and compared with a kept run."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rerankit.cli import cli
from rerankit.errors import ConfigFileError, InvalidArgumentError
from rerankit_eval.benchmark import Run, moves, picture
from rerankit_eval.workload import from_passages, synthetic


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)], catch_exceptions=False)


QUICK = ("--sizes", "1,4", "--clients", "1,2", "--call-documents", "2", "--rounds", "3")


def test_a_service_is_measured_kept_and_compared(words: Any, tmp_path: Path) -> None:
    """A run twice as slow is told from noise; a picture is drawn."""
    kept, svg = tmp_path / "kept.json", tmp_path / "bench.svg"
    first = run("--service", "words delay=0.02", *QUICK, "--output", kept)
    assert first.exit_code == 0
    assert "from a fresh process to the first score" in first.stdout
    found = json.loads(kept.read_text())
    assert set(found["growth"]) == {"1", "4"}
    assert [len(values) for values in found["concurrency"].values()] == [3, 3]
    assert min(found["growth"]["4"]) >= 0.02
    again = run("--service", "words delay=0.1", *QUICK, "--against", kept, "--picture", svg, "--json")
    moved = {move["name"]: move for move in json.loads(again.stdout)["moves"]}
    assert set(moved) == {"1 documents", "4 documents", "1 clients", "2 clients"}
    assert moved["4 documents"]["beyond_noise"]
    assert moved["4 documents"]["ratio"] > 2
    assert svg.read_text().startswith("<?xml")


def made(scale: float = 1.0, reference: float = 0.01, **fields: Any) -> Run:
    """A run whose rounds scatter by 2 %."""
    seconds = [scale * (1 + 0.01 * offset) for offset in (-2, -1, 0, 1, 2)]
    workload = {"name": "synthetic", "passages": 16}
    figures: dict[str, Any] = {"growth": {16: seconds}, "concurrency": {1: seconds}, "reference": [reference] * 5}
    return Run("fake", {}, workload, 1.0, 1, 100, **(figures | fields), call_documents=16)


@pytest.mark.parametrize(
    ("scale", "reference", "beyond"),
    [(1.0, 0.01, False), (1.03, 0.01, False), (1.3, 0.01, True), (0.7, 0.01, True), (1.3, 0.013, False)],
)
def test_what_the_machine_or_chance_explains_is_no_move(scale: float, reference: float, beyond: bool) -> None:
    """Equal; 3 % slower; 30 % slower and faster; 30 % slower on a machine that is 30 % slower itself."""
    now = made(scale, reference)
    assert [move.beyond_noise for move in moves(now, made())] == [beyond, beyond]
    assert moves(now, made())[0].ratio == pytest.approx(scale)


def test_runs_of_different_workloads_are_not_compared() -> None:
    """Their ratio would mean nothing."""
    other = replace(made(), workload={"name": "mine", "passages": 3})
    with pytest.raises(InvalidArgumentError, match="another workload: mine, 3 passages"):
        moves(made(), other)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """And something else is refused."""
    path = tmp_path / "run.json"
    made().write(path)
    assert Run.read(path) == made(made=Run.read(path).made)
    for text in ("{", "{}", "[]", '{"format": "other"}'):
        path.write_text(text)
        with pytest.raises(ConfigFileError, match="not a run of rerankit bench"):
            Run.read(path)


def test_figures_follow_from_the_rounds() -> None:
    """By medians; a picture of two runs has both in it."""
    assert made(2.0).documents_per_second(16) == pytest.approx(8.0)
    assert made(2.0).throughput(1) == pytest.approx(8.0)
    assert "kept, 2026-01-02" in picture(made(), made(made="2026-01-02T00:00:00+00:00"))


def test_synthetic_passages_have_the_lengths_of_real_ones() -> None:
    """About 105 words in the median, skewed, the same every time."""
    workload = synthetic(400)
    lengths = [len(passage.split()) for passage in workload.passages]
    assert 90 < statistics.median(lengths) < 120 < statistics.mean(lengths)
    assert max(lengths) <= 380
    assert workload == synthetic(400)
    assert workload.passages[:10] == synthetic(10).passages


def test_own_passages_are_taken_over_again(tmp_path: Path) -> None:
    """Two paragraphs make four passages."""
    path = tmp_path / "notes.txt"
    path.write_text("one\n\ntwo\n")
    assert list(from_passages(path, "q", 4).passages) == ["one", "two", "one", "two"]


@pytest.mark.parametrize("sizes", ["0,4", "some", ""])
def test_sizes_that_are_none_are_refused(sizes: str) -> None:
    """With how to write them."""
    assert run("--service", "words", "--sizes", sizes).exit_code == 2

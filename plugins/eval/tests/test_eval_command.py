"""``rerankit eval`` from end to end: figures, failures, and runs that were killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rerankit.cli import cli
from rerankit.errors import InvalidArgumentError
from rerankit_eval.contenders import parse_contenders


def command(folder: Path, *services: str, store: Path | None = None) -> list[str]:
    named = [word for service in services for word in ("--service", service)]
    kept = store or folder.parent / "scores.db"
    return ["eval", str(folder), "--run", str(folder / "made.run"), *named, "--store", str(kept)]


def run(arguments: list[str]) -> dict[str, Any]:
    done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_service_is_measured_beside_the_input_order(folder: Path, words: Any) -> None:
    """The run is worst first, and shared words find what answers."""
    found = run(command(folder, "words", "bad=words falling=true model=other"))
    means = {one["label"]: one["means"]["nDCG@10"]["mean"] for one in found["services"]}
    assert list(means) == ["input order", "words", "bad"]
    assert means["words"] > 0.9 > means["bad"]
    (compared,) = [d for d in found["differences"]["nDCG@10"] if {d["one"], d["other"]} == {"words", "input order"}]
    assert (compared["one"], compared["wins"], compared["losses"]) == ("words", 6, 0)
    assert found["services"][1]["model"] == "words"
    assert found["services"][1]["per_query"]["quake"]["RR@10"] == 1.0
    assert found["data"]["queries"] == 6


def test_people_get_tables(folder: Path, words: Any) -> None:
    """Means, differences, and the queries that changed most."""
    done = CliRunner().invoke(cli, command(folder, "words"))
    assert done.exit_code == 0
    again = " ".join(CliRunner().invoke(cli, command(folder, "words")).stdout.split())
    assert "108 pairs scored in" in " ".join(done.stdout.split())
    assert "0 pairs scored in" in again
    assert "108 scores were kept from an earlier run" in again
    for said in ("6 queries, 108 candidates", "nDCG@10", "6 / 0 / 0", "gains most over the input order"):
        assert said in " ".join(done.stdout.split())


def test_one_service_that_fails_does_not_lose_the_others(folder: Path, words: Any) -> None:
    """Its error and remedy are told, and the exit status says that something is missing."""
    done = CliRunner().invoke(cli, command(folder, "words", "down=words model=broken", "nobody"))
    assert done.exit_code == 1
    assert "gains most" in done.stdout
    assert "down was not measured: the service is down" in done.stderr
    assert "nobody was not measured" in done.stderr


def test_secrets_are_not_shown(folder: Path, words: Any) -> None:
    """Neither in JSON nor in a repr."""
    found = run(command(folder, "words key=hunter2"))
    assert found["services"][1]["args"] == {"key": "**********"}
    assert "hunter2" not in json.dumps(found) + repr(parse_contenders(["words key=hunter2"]))


def test_scores_are_kept_for_the_next_run(folder: Path, words: Any) -> None:
    """The second run asks the backend for nothing, and says the same."""
    first = run(command(folder, "words"))
    asked = words.asked()
    assert run(command(folder, "words")) == first
    assert words.asked() == asked == 108
    run(command(folder, "words model=other"))
    assert words.asked() == 216


def test_a_run_killed_in_the_middle_goes_on(folder: Path, words: Any, tmp_path: Path) -> None:
    """Killed with SIGKILL: what was scored is not scored again, and the figures are those of a run left alone."""
    arguments = command(folder, "words delay=0.4", store=tmp_path / "killed.db")
    process = subprocess.Popen([sys.executable, "-m", "rerankit", *arguments], env=words.environment)
    deadline = time.monotonic() + 60
    while words.asked() < 2 * 18 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = words.asked()
    assert before < 108
    resumed = run(command(folder, "words", store=tmp_path / "killed.db"))
    assert words.asked() <= 108 + 18
    assert words.asked() - before < 108
    assert resumed == run(command(folder, "words", store=tmp_path / "alone.db"))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["words", "words"], "two services are called 'words'"),
        ([""], "without a name"),
        (["words delay"], "is not NAME=VALUE"),
        (["words 'open"], "cannot be read"),
        (["words a={1"], "not JSON"),
    ],
)
def test_services_that_cannot_be_read_are_named(texts: list[str], said: str) -> None:
    """With how to write them."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        parse_contenders(texts)
    assert "--service" in caught.value.remedy


def test_services_are_written_as_words() -> None:
    """A label, a name, arguments with spaces in quotes and lists as JSON."""
    one, two = parse_contenders(["mini", "small=acme:crossencoder path='my model' sizes=[1,2]"])
    assert (one.label, one.service, one.args) == ("mini", "mini", {})
    assert (two.label, two.service, two.args) == ("small", "acme:crossencoder", {"path": "my model", "sizes": [1, 2]})

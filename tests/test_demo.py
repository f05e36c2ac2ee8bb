"""``make demo``'s program: real passages, real BM25, the real embedded model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def run(*questions: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith("RERANK")}
    env |= {"COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(DEMO), *questions]
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_shows_both_orders_with_times_and_what_is_next() -> None:
    """Five questions, each with BM25's and the reranker's best three; then commands to type."""
    shown = run()
    assert shown.count("BM25 ") >= 5
    assert shown.count("ms for 50") == 5
    assert "passages of the Python reference" in shown
    assert "What to type next:" in shown
    assert "rerankit doctor" in shown


def test_the_demo_takes_a_question() -> None:
    """The passage that answers it is put first, wherever BM25 had it."""
    shown = run("why does a default argument remember its value between calls?")
    assert shown.count("ms for 50") == 1
    best = next(line for line in shown.splitlines() if line.startswith("1 "))
    assert "Default parameter values are" in best
    assert "#1 " not in best

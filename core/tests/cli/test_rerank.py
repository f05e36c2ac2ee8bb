"""``rerankit rerank``: where documents come from, what is printed, how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]
QUERY = "red planet"

pytestmark = pytest.mark.usefixtures("words")


def results(result: Result) -> list[dict[str, Any]]:
    return json.loads(result.stdout)["results"]  # type: ignore[no-any-return]


def texts(result: Result) -> list[Any]:
    return [found["document"] for found in results(result)]


def test_positionals_are_documents(run: Run) -> None:
    """Everything after the query is a document; JSON says who scored, and how."""
    result = run("rerank", QUERY, "Venus", "Mars is the red planet", "--json")
    answer = json.loads(result.stdout)
    assert (answer["query"], answer["served_by"], answer["score_kind"]) == (QUERY, "words", "probability")
    assert [(found["index"], found["score"]) for found in answer["results"]] == [(1, 1.0), (0, 0.0)]


def test_stdin_is_a_passage_a_line(run: Run) -> None:
    """Blank lines are no passages; a byte that is no UTF-8 is no error; Windows line ends are none either."""
    assert texts(run("rerank", QUERY, "--json", input=b"Venus\r\n\r\nthe red one \xff\r\n")) == [
        "the red one �",
        "Venus",
    ]


def test_stdin_may_be_jsonl(run: Run) -> None:
    """Objects come back as they were, with their ids."""
    lines = [{"_id": "a", "text": "Venus"}, {"_id": "b", "text": "red planet", "year": 2}]
    result = run("rerank", QUERY, "--json", input="\n".join(map(json.dumps, lines)))
    assert texts(result) == lines[::-1]


def test_prose_that_begins_with_a_brace_is_no_jsonl(run: Run) -> None:
    """Only a first line that is a JSON object makes it JSONL."""
    assert texts(run("rerank", QUERY, "--json", input="{braces} are prose\nred")) == ["red", "{braces} are prose"]


def test_an_empty_stdin_gives_an_empty_ranking(run: Run) -> None:
    """As everywhere: no documents, no results, no error."""
    assert results(run("rerank", QUERY, "--json", input="")) == []
    assert "0 passages" in run("rerank", QUERY, input="").stdout


def test_text_files_are_split_in_paragraphs(run: Run, tmp_path: Path) -> None:
    """Each passage is named by file and line; files and documents may be mixed."""
    (tmp_path / "notes.txt").write_text("Venus is\nhot.\n\n \nThe red\nplanet.\n", encoding="utf-8")
    found = texts(run("rerank", QUERY, "one red", "-f", "notes.txt", "--json"))
    assert found == [
        {"id": "notes.txt:5", "text": "The red planet."},
        "one red",
        {"id": "notes.txt:1", "text": "Venus is hot."},
    ]


def test_files_may_be_jsonl(run: Run, tmp_path: Path) -> None:
    """A byte order mark does not hide that."""
    (tmp_path / "p.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "red"}\n\n{"text": "planet red"}\n')
    assert texts(run("rerank", QUERY, "--file", "p.jsonl", "--json")) == [{"text": "planet red"}, {"text": "red"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{broken", "line 2, column 2"),
        ('{"title": "x"}', "line 2: not an object"),
        ('"x"', "line 2: not an object"),
        ("[" * 100_000, "line 2: maximum recursion"),
        ('{"text": "x", "n": ' + "9" * 5_000 + "}", "line 2: Exceeds the limit"),
    ],
)
def test_a_wrong_jsonl_line_is_named(run: Run, line: str, words: str) -> None:
    """File, line and column, exit status 2."""
    result = run("rerank", QUERY, input='{"text": "x"}\n' + line, status=2)
    assert words in result.stderr
    assert "remedy: " in result.stderr


def test_a_first_line_beyond_what_can_be_read_is_named(run: Run) -> None:
    """It is JSON, so it is no passage either."""
    assert "stdin, line 1: " in run("rerank", QUERY, input='{"a": ' + "[" * 100_000, status=2).stderr


def test_json_output_is_json(run: Run) -> None:
    """NaN and infinities of a document, which Python reads and writes, are null to others."""
    result = run("rerank", QUERY, "--json", input='{"text": "red", "weight": NaN, "limit": Infinity}')
    assert json.loads(result.stdout, parse_constant=pytest.fail)["results"][0]["document"] == {
        "text": "red",
        "weight": None,
        "limit": None,
    }


def test_arguments_are_the_services_whatever_their_names(run: Run) -> None:
    """``policy`` and ``config`` mean something to load_reranker; as --arg they are arguments like others."""
    for name in ("policy", "config", "service"):
        assert f"words has no argument '{name}'" in run("rerank", QUERY, "red", "--arg", f"{name}=x", status=3).stderr


def program(words: Path, *arguments: str, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    """rerankit in a process of its own."""
    env = {"PYTHONPATH": str(words.parent), "RERANKER_SERVICE": "words"}
    command = [sys.executable, "-m", "rerankit", *arguments]
    return subprocess.run(command, env=env, stderr=subprocess.PIPE, timeout=60, **keywords)


def test_without_a_stdin_documents_are_asked_for(words: Path) -> None:
    """As under a scheduler that closes it."""
    done = program(words, "rerank", QUERY, preexec_fn=lambda: os.close(0))
    assert done.returncode == 2
    assert b"no documents" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this platform")
@pytest.mark.parametrize("arguments", [["rerank", QUERY, "red"], ["rerank", QUERY, "red", "--json"], ["plugins"]])
def test_a_full_disk_is_told_without_a_traceback(words: Path, arguments: list[str]) -> None:
    """Exit status 1."""
    with open("/dev/full", "wb") as full:
        done = program(words, *arguments, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [["rerank", "line", "--json"], ["rerank", "line"], ["config", "schema"]])
def test_a_reader_that_goes_is_no_traceback(words: Path, arguments: list[str]) -> None:
    """``| head -1``."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = program(words, *arguments, input=b"line\n" * 3_000, stdout=closed)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_interrupt_ends_it(run: Run, install: Callable[..., Path], source: Callable[..., str]) -> None:
    """Ctrl-C while a backend scores: exit status 1, no traceback, and no fallback that goes on."""
    install("acme-slow", source("slow").replace("return [0.5]", "raise KeyboardInterrupt; return [0.5]"))
    assert run("rerank", QUERY, "red", "--service", "slow", status=1).stderr.strip() == "Aborted!"


def test_top_n_service_and_arguments(run: Run) -> None:
    """--top-n cuts, --service goes before the environment's, --arg values get their types, JSON ones too."""
    result = run(
        "rerank", QUERY, "red", "red planet", "-n", "1", "-a", "weight=0.5", "-a", 'options={"a": 1}', "--json"
    )
    assert [(found["index"], found["score"]) for found in results(result)] == [(1, 0.5)]
    result = run("rerank", QUERY, "red", "red planet", "--service", "backwards", "--json")
    assert [found["index"] for found in results(result)] == [0, 1]


def test_the_table_has_rank_score_bar_movement_id_and_text(run: Run) -> None:
    """In a pipe 80 columns and no colour codes; control characters of a document never reach the terminal."""
    documents = [{"id": "a", "text": "Venus"}, {"id": "b", "text": "\x1b[31m red \x07 planet\n" + "and more " * 99}]
    shown = run("rerank", QUERY, input="\n".join(map(json.dumps, documents))).stdout
    first, second = shown.splitlines()[1], shown.splitlines()[4]
    assert first.split()[:5] == ["1", "1.000", "█" * 12, "↑1", "b"]
    assert second.split() == ["2", "0.000", "↓1", "a", "Venus"]
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "…" in shown
    assert re.search(r"2 passages in \d\.\d\d s, probability scores by words", shown)


def test_a_narrow_terminal_drops_the_bar(run: Run) -> None:
    """What remains is readable in 50 columns."""
    shown = run("rerank", QUERY, "red planet " * 9, "Venus", env={"COLUMNS": "50"}).stdout
    assert "█" not in shown
    assert max(map(len, shown.splitlines())) <= 50


def test_a_lone_surrogate_is_printed_as_its_escape(run: Run) -> None:
    """JSON output stays UTF-8, and reads back as what it was."""
    result = run("rerank", QUERY, "--json", input='{"text": "cut \\ud83d"}')
    assert texts(result) == [{"text": "cut \ud83d"}]


def test_an_outage_is_told_with_its_remedy(run: Run) -> None:
    """Exit status 5, code and remedy on stderr, nothing on stdout; as JSON when that was asked for."""
    result = run("rerank", QUERY, "red", "--arg", "down=yes", status=5)
    assert result.stderr == "error [unavailable]: nobody answers\nremedy: start the server\n"
    assert result.stdout == ""
    result = run("rerank", QUERY, "red", "--arg", "down=yes", "--json", status=5)
    error = json.loads(result.stderr)["error"]
    assert (error["code"], error["remedy"], error["retryable"]) == ("unavailable", "start the server", True)


@pytest.mark.usefixtures("needs_more")
def test_the_users_errors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty query, unknown argument, unknown service, missing package: each its exit status and its remedy."""
    assert "the query is empty" in run("rerank", " ", "red", status=2).stderr
    assert "did you mean 'weight'" in run("rerank", QUERY, "red", "--arg", "wieght=1", status=3).stderr
    assert "name=value" in run("rerank", QUERY, "red", "--arg", "weight", status=2).stderr
    assert "not JSON" in run("rerank", QUERY, "red", "--arg", "options={", status=2).stderr
    assert "does not exist" in run("rerank", QUERY, "--file", "nowhere.txt", status=2).stderr
    monkeypatch.setenv("RERANKER_SERVICE", "wrods")
    assert "did you mean 'words'" in run("rerank", QUERY, "red", status=3).stderr
    monkeypatch.setenv("RERANKER_SERVICE", "needs_more")
    assert "remedy: pip install not-there-at-all" in run("rerank", QUERY, "red", status=3).stderr


def test_no_reranking_keeps_the_input_order(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """reranker_service: null is said, not hidden."""
    monkeypatch.setenv("RERANKER_SERVICE", "null")
    shown = run("rerank", QUERY, "Venus", "red planet").stdout
    assert "input_order" in shown
    assert "partial: passages without a score keep their input order" in shown

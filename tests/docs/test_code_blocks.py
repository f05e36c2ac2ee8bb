"""Every code block of README and docs is run by a test, or says why not.

Here, by language: ``python`` blocks of a page are run one after the other; ``json`` is parsed, and a configuration
validated; ``toml`` is parsed; of ``console`` and ``sh`` blocks every ``rerankit`` command is run, and every
``pip install`` and ``make`` looked up. ``text`` is what programs print, and is not code. A page that a test of its
own runs is listed below. ``<!-- not run: reason -->`` on the line before a block takes it out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NAMED = ("mixedbread-ai/mxbai-rerank-large-v1", "cross-encoder/ms-marco-MiniLM-L6-v2")

RUN_BY = {
    "docs/calibration.md": "plugins/eval/tests/test_docs.py",
    "docs/cli.md": "core/tests/cli/test_docs.py",
    "docs/eval.md": "plugins/eval/tests/test_docs.py",
    "docs/modal.md": "tests/modal/test_guide.py",
    "docs/write-a-plugin.md": "core/tests/testing/test_docs.py",
    "examples/paper_finder/README.md": "tests/examples/test_paper_finder.py",
    "examples/third_party_plugin/README.md": "tests/examples/test_third_party_plugin.py",
    "plugins/eval/README.md": "plugins/eval/tests/test_docs.py",
    **{
        f"integrations/{path.name}/README.md": f"integrations/{path.name}/tests/test_{path.name.replace('-', '_')}.py"
        for path in ROOT.glob("integrations/*")
    },
}
"""Pages that a test of their own runs; it names the page."""

_BLOCK = re.compile(r"^(?P<before>[^\n]*)\n+```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .{10,} -->")


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    language: str
    text: str
    line: int


def pages() -> list[str]:
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found if ".venv" not in str(path))


def blocks(page: str) -> list[Block]:
    """The blocks of a page that are to be run here."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(match["language"], match["text"], text[: match.start()].count("\n") + 2)
        for match in _BLOCK.finditer(text)
        if not _NOT_RUN.fullmatch(match["before"])
    ]


def test_pages_with_a_test_of_their_own_have_it() -> None:
    """The test is there, and names the page."""
    for page, test in RUN_BY.items():
        assert (ROOT / page).name in (ROOT / test).read_text(encoding="utf-8"), page


@pytest.mark.parametrize("page", [page for page in pages() if page not in RUN_BY])
def test_the_blocks_of_a_page_work(
    page: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder, but for the models that the page names; without a configuration."""
    monkeypatch.chdir(tmp_path)
    if any(f'="{name}"' in block.text for block in blocks(page) for name in NAMED):
        for owner in request.getfixturevalue("models").iterdir():
            (tmp_path / owner.name).symlink_to(owner)
    program = [WHAT_A_READER_HAS, MORE.get(page, "")]
    for block in blocks(page):
        where = f"{page}, line {block.line}"
        if block.language == "python":
            program.append(block.text)
        else:
            assert block.language in RUNNERS, f"{where}: no runner for {block.language!r}; use text, or say why not run"
            RUNNERS[block.language](block.text, where)
    if program[2:]:
        run("-c", "\n".join(program), where=page)


WHAT_A_READER_HAS = """
query = "how do I catch an exception?"
documents = passages = ["Bees make honey.", "Use try and except."]
"""
"""What pages speak of without making it."""

MORE = {
    "docs/policy.md": "from rerankit.testing import FakeReranker; backend = FakeReranker()",
    "docs/observability.md": (
        "from rerankit.testing import FakeReranker; from rerankit.policy.batching import BatchingReranker\n"
        "batching = BatchingReranker(FakeReranker())"
    ),
    "docs/migrate.md": (
        "from types import SimpleNamespace\n"
        "ids, run_config = [1, 2], SimpleNamespace(reranker_service='mini', reranker_args={})"
    ),
}
"""And what single pages speak of."""


def run_json(text: str, where: str) -> None:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{where}: {error}") from None
    if isinstance(given, dict) and "run_config" in given:
        path = Path("page.json")
        path.write_text(text)
        rerankit("config", "validate", str(path), where=where)


def run_toml(text: str, where: str) -> None:
    tomllib.loads(text)


def run_console(text: str, where: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        command = line.removeprefix("$ ").partition("  #")[0].strip()
        if text.lstrip().startswith("$") and not line.startswith("$ "):
            continue  # what the command before it prints
        words = shlex.split(command, comments=True)
        variables = dict(words.pop(0).split("=", 1) for _ in list(words) if words and re.match(r"[A-Z_]+=", words[0]))
        if words[:1] == ["rerankit"]:
            rerankit(*words[1:], where=where, **variables)
        elif words[:2] == ["pip", "install"]:
            check_installable(words[2:], where)
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{where}: {command}"
        elif words:
            raise AssertionError(f"{where}: nobody runs {command!r}; say why not: <!-- not run: ... -->")


def run_nothing(text: str, where: str) -> None:
    """What a program prints."""


RUNNERS: dict[str, Callable[[str, str], None]] = {
    "json": run_json,
    "toml": run_toml,
    "console": run_console,
    "bash": run_console,
    "sh": run_console,
    "text": run_nothing,
    "": run_nothing,
}


def rerankit(*arguments: str, where: str, **variables: str) -> None:
    run("-m", "rerankit", *arguments, where=where, **variables)


def run(*arguments: str, where: str, **variables: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RERANK")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env={**clean, **variables}, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{where}: {shlex.join(arguments)}\n{done.stdout}{done.stderr}"


def check_installable(requirements: list[str], where: str) -> None:
    """Distributions and extras of ours exist; others are the reader's own business."""
    projects = [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("*/pyproject.toml")]
    projects += [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("*/*/pyproject.toml")]
    extras = {project["name"]: set(project.get("optional-dependencies", {})) for project in projects}
    for requirement in requirements:
        match = re.fullmatch(r"(rerankit[\w-]*)(?:\[([\w,-]+)\])?", requirement)
        if match:
            assert match[1] in extras, f"{where}: there is no distribution {match[1]}"
            missing = set((match[2] or "").split(",")) - extras[match[1]] - {""}
            assert not missing, f"{where}: {match[1]} has no extra {missing}"

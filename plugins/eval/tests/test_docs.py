"""docs/eval.md, docs/calibration.md and README.md: their commands run, one after the other, on data like theirs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rerankit.cli import cli
from rerankit.plugins.manager import plugin_manager
from rerankit.policy.settings import PolicySettings

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / "eval.md", ROOT / "docs" / "calibration.md", ROOT / "plugins" / "eval" / "README.md"]

QUICK = {
    "bench": ["--rounds", "2", "--sizes", "1,4", "--clients", "1", "--call-documents", "4"],
    "compare": ["--rounds", "1", "--timed-queries", "1"],
}

pytestmark = pytest.mark.skipif(not PAGES[0].exists(), reason="the documentation is not part of the sdist")


def blocks(page: Path, language: str) -> list[str]:
    text = re.sub(
        r"^<!-- not run: .*? -->\n```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``my-data`` and ``bm25.run``, and services called as on the pages."""
    module = Path(words.log.parent, "site-packages", "acme_words.py")
    source = module.read_text().replace(
        'return [rerankit.RerankerSpec("words", Words, arguments=Arguments)]',
        'return [rerankit.RerankerSpec(name, Words, arguments=Arguments) for name in ("mini", "crossencoder")]',
    )
    arguments = "    model: str = \"words\"\n    model_name_or_path: str = ''\n    max_length: int = 0\n"
    source = source.replace('    model: str = "words"\n', arguments)
    module.write_text(source.replace("falling=False, key=None):", "falling=False, key=None, **others):"))
    monkeypatch.setenv("RERANKIT_DISABLED_PLUGINS", "rerankit-mini,rerankit-crossencoder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plugin_manager.cache_clear()
    data = tmp_path / "my-data"
    data.mkdir()
    dice = np.random.default_rng(0)
    queries, corpus, qrels, run = [], [], ["query-id\tcorpus-id\tscore"], []
    for number in range(40):
        shared = [f"{letter}{number}" for letter in "abcde"]
        queries.append({"_id": f"q{number}", "text": " ".join(shared)})
        for count in range(6):
            name = f"d{number}-{count}"
            corpus.append({"_id": name, "title": "", "text": " ".join([*shared[:count], "filler"])})
            qrels.append(f"q{number}\t{name}\t{int(dice.random() < 0.19 * count)}")
            run.append(f"q{number} Q0 {name} {count} {10 - count} made")
    (data / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (data / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (data / "qrels.tsv").write_text("\n".join(qrels))
    (tmp_path / "bm25.run").write_text("\n".join(run))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_commands_run(reader: Path, page: Path) -> None:
    """Each exits 0; ``bench`` and ``compare`` with less to do than by default."""
    text = "".join(blocks(page, "console")).replace("\\\n", " ")
    commands = re.findall(r"^\$ rerankit (.*)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        arguments = shlex.split(command)
        arguments += QUICK.get(arguments[0], [])
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, f"{command}\n{done.output}"


def test_the_pages_data_is_read(reader: Path) -> None:
    """The line of JSON that shows the format."""
    (line,) = blocks(PAGES[0], "json")
    Path("shown.jsonl").write_text(line)
    done = CliRunner().invoke(cli, ["eval", "shown.jsonl", "--service", "mini", "--json"])
    assert json.loads(done.stdout)["data"]["judged"] == 1


def test_the_pages_configuration_is_valid() -> None:
    """The calibration's field is where the page says."""
    (text,) = blocks(PAGES[1], "json")
    policy = json.loads(text)["run_config"]["reranker_policy"]
    assert PolicySettings.model_validate(policy).calibration == (Path("mini.calibration.json"),)


def test_every_option_is_described() -> None:
    """What the pages do not tell, ``--help`` does, in a sentence each."""
    for name in ("eval", "compare", "calibrate", "bench"):
        command = cli.commands.get(name) or cli.get_command(cli.make_context("rerankit", [name]), name)
        assert command is not None
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name

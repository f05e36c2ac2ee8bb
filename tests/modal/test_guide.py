"""docs/modal.md: every command in it is run, in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rerankit_modal.arguments import ModalArguments
from rerankit_modal.settings import DeploymentSettings

from .control_plane import LocalModal
from .hub import COMMIT, model_hub

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "modal.md"
NOT_RUN = {
    'pip install "rerankit[modal]"': "tests/packaging installs every extra from built wheels",
    "modal token new": "opens a browser",
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for name, body in BLOCK.findall(GUIDE.read_text()) if name == language]


def _on_path() -> dict[str, str]:
    """The environment, with this interpreter's commands first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, image_cache: Path, models: dict[str, Path]) -> dict[str, str]:
    """What each ``sh`` block printed, by its first line: all of them, in one shell, in a folder of its own.

    The default model cannot be had without the hub, so a small one stands in for it, and for the multilingual one.
    """
    folder = tmp_path_factory.mktemp("guide")
    shutil.copytree(models["other"], folder / "my-model")
    (folder / "modal_deploy").symlink_to(ROOT / "modal_deploy")
    repository = shutil.copytree(models["sensible"], folder / "repository")
    (repository / "onnx").mkdir()
    for unused in ("README.md", "pytorch_model.bin", "onnx/config.json", "onnx/model.onnx"):
        (repository / unused).write_text("not needed")
    commands = [block for block in blocks("sh") if block.strip() not in NOT_RUN]
    script = "set -eu\n" + "".join(f"echo '#{number}'\n{block}" for number, block in enumerate(commands))
    with (
        LocalModal(folder / "state", image_cache) as server,
        model_hub(repository, "jinaai/jina-reranker-v2-base-multilingual") as hub,
    ):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MODAL_", "RERANK"))},
            **server.environment,
            "MODAL_CONFIG_PATH": str(folder / "modal.toml"),
            "RERANKIT_MODAL_MODEL": str(models["sensible"]),
            "RERANKIT_MODAL_MIN_CONTAINERS": "1",  # each takes this machine's two cores while it starts
            "HF_ENDPOINT": hub,
            "PATH": _on_path()["PATH"],
            "COLUMNS": "200",
        }
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        baked = _model_files(server)
    printed = re.split(r"^#\d+\n", done.stdout, flags=re.MULTILINE)[1:]
    return {command.splitlines()[0]: text for command, text in zip(commands, printed, strict=True)} | {"": baked}


def _model_files(server: LocalModal) -> str:
    """The files of models in all images that were built."""
    homes = server.on_loop(lambda: {build.result().home for build in server.control.builds.values()})
    files = {path for home in homes for path in (home / "model").rglob("*") if ".cache" not in path.parts}
    return " ".join(sorted({path.name for path in files}))


def test_every_setting_and_argument_is_in_the_guide() -> None:
    """... with its default, where that is a plain value; and no other is."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", GUIDE.read_text(), re.MULTILINE))
    fields = {f"RERANKIT_MODAL_{name.upper()}": field for name, field in DeploymentSettings.model_fields.items()}
    fields |= ModalArguments.model_fields
    assert set(rows) == set(fields)
    defaults = {name: field.default for name, field in fields.items() if name != "RERANKIT_MODAL_MODEL"}
    plain = {name: f"{d:g}" if isinstance(d, float) else str(d) for name, d in defaults.items() if d}
    assert {name: rows[name] for name in plain} == plain


@pytest.mark.slow
def test_the_guide_can_be_tried_without_an_account() -> None:
    """The command of its section on that."""
    (command,) = blocks("")
    done = subprocess.run(["sh", "-euc", command], cwd=ROOT, env=_on_path(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test" in done.stdout


def test_what_is_not_run_is_in_the_guide() -> None:
    """The list of exceptions holds no command that the guide no longer has."""
    assert set(NOT_RUN) <= {block.strip() for block in blocks("sh")}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_only_the_files_that_are_loaded_are_baked(output: dict[str, str]) -> None:
    """Of a repository that also holds other formats, as the default model's does."""
    assert output[""] == "config.json model.safetensors tokenizer.json tokenizer_config.json"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("modal token set", "Workspace: local"),
        ("rerankit modal cost", "break-even"),
        ("rerankit modal deploy", "deployed solaceai-reranker"),
        ("modal deploy modal_deploy", "App deployed"),
        ("rerankit modal status --wake", "self-test   good"),
        ("rerankit modal status --wake", "a bear that eats bamboo"),
        ("cat > rerankit.json", "a bear that eats bamboo"),
        ("cat > rerankit.json", "✓ modal"),
        ("modal app list", "Scorer.*"),
        ("RERANKIT_MODAL_MIN_CONTAINERS=0", "self-test"),
        ("cat > with-fallback.json", "a bear that eats bamboo"),
        ("RERANKIT_MODAL_MODEL=./my-model", "my-model"),
        ("export RERANKIT_MODAL_MODEL", f"revision    {COMMIT}"),
        ("RERANKER_SERVICE=crossencoder", "a bear"),
    ],
)
def test_commands_do_what_the_guide_says(output: dict[str, str], command: str, expected: str) -> None:
    """Each block ran without an error, and printed what it is there for."""
    (text,) = [text for first, text in output.items() if first.startswith(command)]
    assert expected in text


def test_the_configuration_of_the_guide_reranks(loopback: LocalModal, deployment: str, tmp_path: Path) -> None:
    """Its section "Use", as it stands, without the rest of the guide."""
    (block,) = (block for block in blocks("sh") if block.startswith("cat > rerankit.json"))
    done = subprocess.run(["sh", "-euc", block], cwd=tmp_path, env=_on_path(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a bear that eats bamboo" in done.stdout
    assert "✓ modal" in done.stdout


def test_the_python_of_the_guide_runs(
    loopback: LocalModal, deployment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands."""
    for block in blocks("python"):
        exec(compile(block, str(GUIDE), "exec"), {})
    assert "a bear that eats bamboo sensible probability" in capsys.readouterr().out

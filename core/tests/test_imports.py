"""Start-up is light: what is imported is asserted, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rerankit

HEAVY = {"torch", "transformers", "modal", "fastapi", "starlette", "openvino", "onnxruntime", "tokenizers", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "import rerankit",
        "from rerankit.cli import cli; cli(['--help'], standalone_mode=False)",
        "from rerankit.cli import cli; cli(['plugins'], standalone_mode=False)",
        "from rerankit.cli import cli; cli(['plugins', '--json'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    """`import rerankit`, `rerankit --help` and `rerankit plugins` import no model library."""
    report = f"{code}\nimport sys; print('MODULES', *sorted({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.rsplit("MODULES", 1)[1].split())
    assert not loaded & HEAVY


def test_import_rerankit_does_without_pydantic() -> None:
    """It costs a tenth of a second, and only reading a configuration needs it."""
    code = "import rerankit, sys; print('pydantic' in sys.modules, 'rich' in sys.modules, 'click' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False", "False"]


def test_the_public_names_are_there() -> None:
    """``__all__`` is what the package promises, and nothing else is public."""
    modules = {name for name in vars(rerankit) if isinstance(getattr(rerankit, name), type(sys))}
    assert {name for name in vars(rerankit) if not name.startswith("_")} - modules == set(rerankit.__all__)
    assert all(hasattr(rerankit, name) for name in rerankit.__all__)

"""The images: what is installed in the containers, and the model's files."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import modal

from rerankit_modal.settings import MODEL_FOLDER, PREFIX, DeploymentSettings
from rerankit_modal.wheels import build_wheels, third_party_requirements

__all__ = ["front_image", "scorer_image"]

_HOME = "/root"
FRONT = ("rerankit", "rerankit-modal")
SCORER = (*FRONT, "rerankit-crossencoder")
TESTED = ("torch==2.13.0", "transformers==5.23.0", "sentence-transformers==6.2.0")
"""The versions that the deployment was tested with."""
NEEDED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.py")
"""Files of a model that are loaded: configuration, weights, tokenizer, code."""
UNUSED = ("onnx/*", "openvino/*", "*.onnx", "coreml/*")

_HUB_VARIABLES = ("HF_TOKEN", "HF_ENDPOINT")


def front_image(settings: DeploymentSettings) -> modal.Image:
    """For the CPU front: no torch, no model, so that it starts quickly."""
    base = _python().uv_pip_install(*third_party_requirements(FRONT))
    return _with_ours(base, FRONT).env(_variables(settings))


def scorer_image(settings: DeploymentSettings) -> modal.Image:
    """For the containers that score: torch, our distributions and the model's files, and nothing else."""
    base = _python().uv_pip_install(*TESTED, *third_party_requirements(SCORER))
    base = base.uv_pip_install(*settings.packages.split())
    return _with_ours(_with_model(base, settings), SCORER).env(_variables(settings))


def _python() -> modal.Image:
    return modal.Image.debian_slim(python_version=f"{sys.version_info.major}.{sys.version_info.minor}")


def _with_model(image: modal.Image, settings: DeploymentSettings) -> modal.Image:
    settings.require_pinned()
    folder = settings.folder
    if folder is not None:
        unused = modal.FilePatternMatcher(*(pattern.replace("/*", "/**") for pattern in UNUSED))
        return image.add_local_dir(folder, f"{_HOME}/model", copy=True, ignore=unused)
    choice = [f"--include {shlex.quote(p)}" for p in NEEDED] + [f"--exclude {shlex.quote(p)}" for p in UNUSED]
    model = f"{shlex.quote(settings.model)} --revision {settings.pinned_revision}"
    token: dict[str, str | None] = {name: os.environ[name] for name in _HUB_VARIABLES if name in os.environ}
    return image.run_commands(
        f"python -m huggingface_hub.cli.hf download {model} {' '.join(choice)} --local-dir {MODEL_FOLDER}",
        secrets=[modal.Secret.from_dict(token)] if token else [],
    )


def _with_ours(image: modal.Image, names: Iterable[str]) -> modal.Image:
    folder = Path(tempfile.mkdtemp(prefix="rerankit-wheels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    from_index = build_wheels(names, folder)
    wheels = image.add_local_dir(folder, f"{_HOME}/wheels", copy=True)
    return wheels.run_commands(shlex.join(["python", "-m", "pip", "install", *from_index]) + " ~/wheels/*.whl")


def _variables(settings: DeploymentSettings) -> dict[str, str]:
    """The settings as the container's environment, from which the same class reads them again."""
    values = settings.model_dump(exclude_none=True)
    if settings.folder is not None:
        values["model"] = settings.folder.name  # the folder's path here means nothing there
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}

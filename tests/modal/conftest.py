"""A control plane on loopback for the whole session, and what is deployed on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import modal
import pytest

from .control_plane import LocalModal
from .models import make_cross_encoder

APPS = Path(__file__).parent / "apps"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def image_cache(request: pytest.FixtureRequest) -> Path:
    """Where images made of downloads alone outlive the session."""
    return request.config.cache.mkdir("modal-images")


@pytest.fixture(scope="session")
def local_modal(tmp_path_factory: pytest.TempPathFactory, image_cache: Path) -> Iterator[LocalModal]:
    with LocalModal(tmp_path_factory.mktemp("modal"), image_cache) as running:
        yield running
        assert running.control.unimplemented == []


@pytest.fixture
def loopback(local_modal: LocalModal, monkeypatch: pytest.MonkeyPatch) -> LocalModal:
    """The session's control plane, with this process's environment pointing at it."""
    for name, value in local_modal.environment.items():
        monkeypatch.setenv(name, value)
    return local_modal


def run(
    command: list[str], environment: Mapping[str, str], *, succeeds: bool = True
) -> subprocess.CompletedProcess[str]:
    """A command of this interpreter's environment, with ``environment`` on top of it and a wide terminal."""
    program = Path(sys.executable).parent / command[0]
    variables = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment}
    done = subprocess.run([program, *command[1:]], env=variables, capture_output=True, text=True, timeout=240)
    assert not succeeds or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def sample(local_modal: LocalModal) -> str:
    """The name of the deployed sample app."""
    run(["modal", "deploy", str(APPS / "sample.py")], local_modal.environment)
    return "sample"


@pytest.fixture(scope="session")
def client(local_modal: LocalModal) -> Iterator[modal.Client]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_modal.environment.items():
            patch.setenv(name, value)
        opened = modal.Client.from_credentials(
            local_modal.environment["MODAL_TOKEN_ID"], local_modal.environment["MODAL_TOKEN_SECRET"]
        )
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def faulty(local_modal: LocalModal) -> str:
    """The name of the deployed app of somebody else's."""
    run(["modal", "deploy", str(APPS / "faulty.py")], local_modal.environment)
    return "faulty"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models: ``sensible`` happens to pass the self-tests of `modal status` and `doctor`, ``other`` does not."""
    folder = tmp_path_factory.mktemp("models")
    return {name: make_cross_encoder(folder / name, seed=seed) for name, seed in (("sensible", 7), ("other", 2))}


@pytest.fixture(scope="session")
def deployment(local_modal: LocalModal, models: dict[str, Path]) -> str:
    """The name of our app, deployed by our command with the sensible model and its defaults."""
    run(["rerankit", "modal", "deploy"], {**local_modal.environment, "RERANKIT_MODAL_MODEL": str(models["sensible"])})
    return "solaceai-reranker"

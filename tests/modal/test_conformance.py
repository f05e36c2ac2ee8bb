"""What every backend must do, over the deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rerankit.testing import RerankerConformance
from rerankit_modal import ModalReranker

from .control_plane import LocalModal


@pytest.fixture(scope="class")
def reranker(local_modal: LocalModal, deployment: str) -> Iterator[ModalReranker]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_modal.environment.items():
            patch.setenv(name, value)
        with ModalReranker(deployment) as opened:
            yield opened


@pytest.fixture
def failing_reranker(loopback: LocalModal) -> Iterator[ModalReranker]:
    """Of an app that is not there."""
    with ModalReranker("nowhere") as opened:
        yield opened


class TestModalReranker(RerankerConformance):
    tolerance = 2e-2  # the model runs in bfloat16 where the processor has it

"""Servers for the tests, and no configuration but the test's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerankit_local_service.testing import Served, serving


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts services; they stop when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(*models: Any, **settings: Any) -> Served:
            return stack.enter_context(serving(*models, **settings))

        yield start


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A service that counts shared words, for tests that leave it as it was."""
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the machine's own variables, or a ``.env``."""
    for name in ("RERANKER_SERVICE_URL", "RERANKER_CLIENT_TIMEOUT", "RERANKER_API_KEY", "RERANKER_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))

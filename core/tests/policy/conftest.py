"""Every test of the policy leaves no thread and no task behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail where a thread of rerankit is alive after the test; one that is ending gets a second."""
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 1.0
    while (left := _ours(before)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left


def _ours(before: set[threading.Thread]) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("rerankit-") and t not in before]

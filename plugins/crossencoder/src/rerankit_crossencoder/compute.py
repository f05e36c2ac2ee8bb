"""The one thread of a process in which models are loaded and run.

One, because a model already uses every core: two at a time only wait for each other. A thread of its own, because
OpenMP's workers belong to the thread that first asked for them, and do not survive a fork: a child that computes
in the thread it was forked from waits for them for ever. A new thread in the child gets new workers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["compute"]

P = ParamSpec("P")
T = TypeVar("T")

_NAME = "rerankit-compute"
_executor = ThreadPoolExecutor(1, _NAME)


def compute(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``function``, called in the compute thread; its exception, where it raises one."""
    if threading.current_thread().name.startswith(_NAME):
        return function(*args, **kwargs)
    return _executor.submit(function, *args, **kwargs).result()


def _renew() -> None:
    global _executor
    _executor = ThreadPoolExecutor(1, _NAME)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

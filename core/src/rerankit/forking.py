"""What it takes to fork a process that computes with OpenVINO, as an application does that forks for every question.

In the core, since several backends compute with OpenVINO, which has its threads in common for all of a process.

A child has only the thread that forked. So that it can use OpenVINO again, with threads of its own:

* no fork happens while OpenVINO computes, nor just after: its threads look round for more work for a moment, and a
  lock that one of them holds at the fork stays locked in the child for ever;
* what the child inherits is never used there, nor freed: the destructor would wait for threads that are not there.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["computing", "never_free_in_children"]

_SETTLE_SECONDS = 0.05
"""After this long without work OpenVINO's threads sleep. Forked at once after work, a child sometimes hung."""

_changed = threading.Condition(threading.Lock())
_running = 0
_forks_waiting = 0
_last_used = -_SETTLE_SECONDS
_kept: weakref.WeakSet[object] = weakref.WeakSet()


@contextmanager
def computing() -> Iterator[None]:
    """Around compiling and inference: several at once, but forks wait for their end, and none begins meanwhile."""
    global _running, _last_used
    with _changed:
        _changed.wait_for(lambda: not _forks_waiting)
        _running += 1
    try:
        yield
    finally:
        with _changed:
            _running -= 1
            _last_used = time.monotonic()
            _changed.notify_all()


def never_free_in_children(thing: object) -> None:
    """Leave ``thing`` and what it refers to in memory in forked children, even when their interpreter ends.

    It has to take weak references, as instances of Python classes do; here it is freed as ever. Called while
    ``computing``, so that no fork comes between.
    """
    _kept.add(thing)


def _before() -> None:
    global _forks_waiting
    _changed.acquire()
    _forks_waiting += 1
    _changed.wait_for(lambda: not _running)
    time.sleep(max(0.0, _last_used + _SETTLE_SECONDS - time.monotonic()))


def _in_parent() -> None:
    global _forks_waiting
    _forks_waiting -= 1
    _changed.notify_all()
    _changed.release()


def _in_child() -> None:
    global _changed, _forks_waiting
    # Whoever else waited is a thread of the parent's.
    _changed, _forks_waiting = threading.Condition(threading.Lock()), 0
    for thing in _kept:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    _kept.clear()
    # The tokenizers library would do the same at its next use, with a warning.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)

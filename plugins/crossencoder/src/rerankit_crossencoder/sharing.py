"""One copy of a model a process, however many rerankers use it.

A model that nobody uses any more stays until another has to be loaded: applications that make a reranker for
every question find it again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """Things by key, each with the number of its users."""

    def __init__(self) -> None:
        self._things: dict[Hashable, T] = {}
        self._users: dict[Hashable, int] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unlock)

    def acquire(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of ``key``, made where it is not there; its users are one more."""
        with self._lock:
            if key not in self._things:
                for unused in [other for other, users in self._users.items() if not users]:
                    del self._things[unused], self._users[unused]
                self._things[key] = make()
                self._users[key] = 0
            self._users[key] += 1
            return self._things[key]

    def release(self, key: Hashable) -> None:
        """Its users are one less."""
        with self._lock:
            if key in self._users:
                self._users[key] = max(0, self._users[key] - 1)

    def _unlock(self) -> None:
        # Another thread of the parent may have held it; in the child that thread does not exist.
        self._lock = threading.Lock()

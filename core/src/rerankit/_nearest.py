"""Did you mean …?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: object, valid: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for a name that looks like a valid one, else nothing."""
    close = difflib.get_close_matches(str(name), sorted(valid), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""

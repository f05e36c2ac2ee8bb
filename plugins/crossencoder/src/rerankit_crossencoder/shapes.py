"""A bounded number of shapes: matrix libraries keep compiled code for every shape they meet.

With every number of tokens a shape of its own, oneDNN's cache grew by 2 GB before it stopped; rounded up, a few
hundred shapes serve everything, for 3 % more rows.
"""

from __future__ import annotations

__all__ = ["rounded"]


def rounded(size: int) -> int:
    """The next multiple of 16 up to 256, above that one of 8 to 16 steps between powers of two."""
    step = max(16, 1 << (size.bit_length() - 4) if size > 15 else 16)
    return -(-size // step) * step

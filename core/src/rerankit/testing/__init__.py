"""For authors of backends, a conformance suite; for tests of applications and policies, a reranker that needs no model.

``FakeReranker`` and its faults need nothing but rerankit. ``RerankerConformance`` needs pytest, which is
imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerankit.testing.fakes import FakeReranker, not_finite, one_too_few, word_overlap

if TYPE_CHECKING:
    from rerankit.testing.conformance import RerankerConformance

__all__ = ["FakeReranker", "RerankerConformance", "not_finite", "one_too_few", "word_overlap"]


def __getattr__(name: str) -> Any:
    if name == "RerankerConformance":
        from rerankit.testing.conformance import RerankerConformance

        return RerankerConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

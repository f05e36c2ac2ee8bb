"""Whether a request can be done before its deadline, by the speed so far.

What is too much for its time all by itself is always tried: the speed is only an estimate, and a retry would not help.
"""

from __future__ import annotations

from rerankit.errors import OverloadedError
from rerankit.policy.job import Job

__all__ = ["tokens_in_time", "too_late_to_begin", "too_late_to_wait"]

_PLANNED = 0.5
"""What may be planned of a caller's time. The rest is for a machine that gets slower, and for the batch it shares."""
_PLANNED_OF_THE_REST = 0.7
"""The same of a batch: no request's scores come before those of all it shares one with."""


def too_late_to_wait(job: Job, ahead: int, speed: float, service: str) -> OverloadedError | None:
    """Why a request that comes now is turned away, while its caller can go elsewhere; ``None`` if it is not.

    Args:
        job: the request.
        ahead: tokens that are scored before its last pair.
        speed: tokens a second.
        service: for the error.
    """
    seconds = _seconds(job, speed)
    if seconds is None or not ahead:
        return None
    late = (ahead + job.tokens_left) / speed - seconds * _PLANNED
    return _overloaded(f"about {ahead} tokens come before this request", service, late) if late > 0 else None


def too_late_to_begin(job: Job, others: int, speed: float, service: str) -> OverloadedError | None:
    """Why a request that has waited is not begun any more; ``None`` if it may be.

    It was held up by others for longer than was to be expected. Scoring it now would only make the next one late, too.

    Args:
        job: the request; no batch has taken any of it.
        others: tokens that wait beside it.
        speed: tokens a second.
        service: for the error.
    """
    if _seconds(job, speed) is None or (job.request.remaining() or 0.0) >= job.tokens_left / speed:
        return None
    return _overloaded("those before this request took longer than expected", service, others / speed)


def tokens_in_time(least: float | None, speed: float) -> int | None:
    """How large a batch may be whose most urgent request has ``least`` seconds left; ``None``: as large as any."""
    return None if least is None else int(least * _PLANNED_OF_THE_REST * speed)


def _seconds(job: Job, speed: float) -> float | None:
    """All the time it has; ``None`` if that is no matter of others."""
    if job.request.deadline is None:
        return None
    seconds = job.request.deadline - job.queued_at
    return seconds if job.tokens_left <= seconds * speed else None


def _overloaded(why: str, service: str, seconds: float) -> OverloadedError:
    return OverloadedError(f"{why}: the answer would be late", service=service, retry_after=seconds)

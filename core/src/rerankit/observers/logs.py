"""Calls as structured log records of the logger ``rerankit.calls``; no texts, ever."""

from __future__ import annotations

import logging

from rerankit.observers.events import CallFailed, CallFinished
from rerankit.plugins.hookspecs import hookimpl

__all__ = ["LogObserver"]


class LogObserver:
    """One record a call: info if it was answered as asked, warning if degraded or partial, error if it failed.

    The figures are attributes of the record, under ``rerankit``, for formatters that write JSON.
    """

    def __init__(self, logger: str = "rerankit.calls") -> None:
        self._log = logging.getLogger(logger)

    @hookimpl
    def rerankit_after(self, event: CallFinished) -> None:
        """Log an answer."""
        batch = event.batch
        level = logging.WARNING if batch.degraded or batch.partial else logging.INFO
        if not self._log.isEnabledFor(level):
            return
        self._write(
            level,
            "reranked",
            {
                "call_id": event.call.call_id,
                "service": event.call.service,
                "served_by": event.served_by,
                "model": batch.model,
                "documents": event.call.documents,
                "tokens": None if batch.tokens is None else sum(batch.tokens),
                "seconds": round(event.seconds, 6),
                "degraded": batch.degraded,
                "partial": batch.partial,
                "failed_attempts": [f"{a.service}: {a.error}" for a in batch.attempts if a.error],
                "displacement": event.displacement,
                "first_changed": event.first_changed,
                "truncated": event.truncated,
                "saturated": event.saturated,
            },
        )

    @hookimpl
    def rerankit_error(self, event: CallFailed) -> None:
        """Log a failure."""
        self._write(
            logging.ERROR,
            "reranking failed",
            {
                "call_id": event.call.call_id,
                "service": event.call.service,
                "documents": event.call.documents,
                "seconds": round(event.seconds, 6),
                "error": event.code,
                "failed_attempts": [f"{a.service}: {a.error}" for a in event.attempts if a.error],
            },
        )

    def _write(self, level: int, message: str, figures: dict[str, object]) -> None:
        shown = " ".join(f"{name}={value}" for name, value in figures.items() if value is not None)
        self._log.log(level, "%s %s", message, shown, extra={"rerankit": figures})

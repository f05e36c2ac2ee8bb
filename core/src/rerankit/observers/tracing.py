"""OpenTelemetry spans, by its API alone: without an SDK in the application nothing happens."""

from __future__ import annotations

import contextvars

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from rerankit.observers.events import CallFailed, CallFinished, CallStarted
from rerankit.plugins.hookspecs import hookimpl

__all__ = ["TracingObserver", "trace_headers"]


class TracingObserver:
    """A span a call, a child of the caller's; what the backend does meanwhile nests in it."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("rerankit")
        self._open: dict[int, tuple[Span, contextvars.Token[context.Context]]] = {}

    @hookimpl
    def rerankit_before(self, event: CallStarted) -> None:
        """Begin the span, and make it the current one."""
        span = self._tracer.start_span(
            f"rerank {event.service}",
            kind=SpanKind.CLIENT,
            attributes={"rerankit.service": event.service, "rerankit.documents": event.documents},
        )
        self._open[event.call_id] = span, context.attach(trace.set_span_in_context(span))

    @hookimpl
    def rerankit_after(self, event: CallFinished) -> None:
        """End the span with what is known about the answer."""
        batch = event.batch
        figures = {
            "served_by": event.served_by,
            "model": batch.model,
            "score_kind": str(event.score_kind),
            "degraded": batch.degraded,
            "partial": batch.partial,
            "tokens": None if batch.tokens is None else sum(batch.tokens),
            "displacement": event.displacement,
            "first_changed": event.first_changed,
            "truncated": event.truncated,
            "saturated": event.saturated,
        }
        span = self._close(event.call)
        span.set_attributes({f"rerankit.{name}": value for name, value in figures.items() if value is not None})
        for attempt in batch.attempts:
            if attempt.error is not None:
                span.add_event("attempt failed", {"rerankit.service": attempt.service, "error.type": attempt.error})
        span.end()

    @hookimpl
    def rerankit_error(self, event: CallFailed) -> None:
        """End the span as failed."""
        span = self._close(event.call)
        span.set_attribute("error.type", event.code)
        span.set_status(Status(StatusCode.ERROR, event.code))
        span.end()

    def _close(self, call: CallStarted) -> Span:
        span, token = self._open.pop(call.call_id)
        context.detach(token)
        return span


def trace_headers() -> dict[str, str]:
    """The headers that carry the current span over HTTP (``traceparent``); empty outside of a trace."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers

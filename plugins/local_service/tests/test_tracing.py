"""One trace from the application through HTTP to the model."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rerankit_local_service import LocalServiceReranker
from rerankit_local_service.testing import Served


def test_the_services_spans_are_in_the_callers_trace(serve: Callable[..., Served]) -> None:
    """Across the wire, with nothing of the texts in any attribute."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with LocalServiceReranker(url=serve().url) as client:
        with trace.get_tracer("application").start_as_current_span("question") as span:
            client.get_scores("secret question", ["secret passage"])
        client.get_scores("another", ["question"])
    # A span ends when its answer has left, which may be after it has arrived.
    end = time.monotonic() + 10
    while len(spans := [s for s in exporter.get_finished_spans() if s.name == "POST /v1/score_pairs"]) < 2:
        assert time.monotonic() < end, exporter.get_finished_spans()
        time.sleep(0.01)
    traces = [s.context.trace_id for s in spans if s.context is not None]
    assert span.get_span_context().trace_id in traces
    assert len(set(traces)) == 2
    assert "secret" not in "".join(s.to_json() for s in exporter.get_finished_spans())

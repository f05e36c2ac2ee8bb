"""Schemathesis reads the service's own OpenAPI and tries to break what it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rerankit_local_service.testing import Served, serving

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Served]:
    """A service with small limits, so that they are met."""
    with serving(max_documents=50, max_document_characters=2_000, max_body_bytes=100_000) as found:
        yield found


def fuzz(served: Served, examples: int) -> None:
    """Ask every operation so many times; no 5xx, and every answer as documented."""
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= 14
    for operation in operations:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, headers={"x-rerankit-timeout": "20"})

        ask()


def test_a_few(fuzzed: Served) -> None:
    """Enough to see that nothing is broken."""
    fuzz(fuzzed, 12)


@pytest.mark.slow
def test_many(fuzzed: Served) -> None:
    """The same, at length."""
    fuzz(fuzzed, 500)

"""PolicySettings: every field, from JSON and from environment strings, with errors that name the nearest one."""

from __future__ import annotations

from typing import Any

import pytest

from rerankit.arguments import validated
from rerankit.errors import InvalidArgumentError
from rerankit.policy.settings import FallbackService, PolicySettings


def read(**values: Any) -> PolicySettings:
    """As the configuration reads it."""
    return validated(PolicySettings, values, service="reranker_policy")


def test_nothing_is_on_by_default_but_removing_duplicates() -> None:
    """An application that configures no policy gets its backend."""
    policy = read()
    assert (policy.deadline_s, policy.retries, policy.fallback, policy.cache_bytes) == (None, 0, (), 0)
    assert (policy.batch_tokens, policy.observers, policy.deduplicate) == (None, (), None)
    assert (policy.on_failure, policy.on_deadline) == ("raise", "raise")


def test_fallbacks_are_names_or_objects() -> None:
    """Each with its own arguments."""
    policy = read(fallback=["mini", {"service": "local_service", "args": {"url": "http://x"}}])
    assert policy.fallback == (
        FallbackService(service="mini"),
        FallbackService(service="local_service", args={"url": "http://x"}),
    )


def test_environment_strings_become_their_types() -> None:
    """Numbers, sizes, truth values, and lists with commas."""
    policy = read(
        deadline_s="2.5", retries="3", cache_bytes="64MiB", deduplicate="false", fallback="local_service, mini",
        observers="logging,prometheus", batch_tokens="4096",
    )  # fmt: skip
    assert (policy.deadline_s, policy.retries, policy.cache_bytes) == (2.5, 3, 64 << 20)
    assert (policy.deduplicate, policy.batch_tokens) == (False, 4096)
    assert [fallback.service for fallback in policy.fallback] == ["local_service", "mini"]
    assert policy.observers == ("logging", "prometheus")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"deadlin_s": 2}, "did you mean 'deadline_s'"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"on_deadline": "ignore"}, "'raise' or 'partial'"),
        ({"fallback": [{"servise": "mini"}]}, "did you mean 'service'"),
        ({"fallback": [{"args": {}}]}, "needs a 'service'"),
        ({"fallback": [3]}, "fallback"),
        ({"observers": ["graphite"]}, "'prometheus'"),
        ({"cache_bytes": "many"}, "cache_bytes"),
        ({"retries": 21}, "retries"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(values: dict[str, Any], said: str) -> None:
    """An unknown name, a wrong value, a malformed fallback."""
    with pytest.raises(InvalidArgumentError) as caught:
        read(**values)
    assert said in str(caught.value)


def test_a_fallbacks_arguments_stay_out_of_the_repr() -> None:
    """They may hold secrets."""
    assert "s3cret" not in repr(read(fallback=[{"service": "x", "args": {"api_key": "s3cret"}}]))

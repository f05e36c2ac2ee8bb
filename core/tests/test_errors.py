"""Every error has a code, a remedy, and says whether to try again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from rerankit import errors
from rerankit.errors import InputError, OverloadedError, RerankitError, error_class


def tree(cls: type[RerankitError]) -> Iterator[type[RerankitError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from tree(child)


ALL = sorted({cls for cls in tree(RerankitError) if cls.__module__ == "rerankit.errors"}, key=lambda cls: cls.__name__)


def test_the_tree_is_public_drawn_and_has_distinct_codes() -> None:
    """The docstring draws each class with its code; ``__all__`` has them, sorted."""
    assert errors.__all__ == sorted([*(cls.__name__ for cls in ALL), "error_class"])
    assert len({cls.code for cls in ALL}) == len(ALL)
    drawing = {line.split("── ")[-1].split()[0]: line.split("── ")[-1].split()[1] for line in _drawn()}
    assert drawing == {cls.__name__: cls.code for cls in ALL}


def _drawn() -> list[str]:
    assert errors.__doc__ is not None
    return [
        line.strip() for line in errors.__doc__.splitlines() if "── " in line or line.startswith("    RerankitError")
    ]


@pytest.mark.parametrize("cls", ALL)
def test_every_error_says_what_to_do_and_survives_a_pickle(cls: type[RerankitError]) -> None:
    """A worker process hands its errors on whole."""
    error = cls("it broke", value=3, service="acme", retry_after=1.5)
    assert error.remedy
    assert str(error) == f"it broke [{cls.code}] Remedy: {error.remedy}"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert copy.to_dict() == error.to_dict()
    assert (copy.value, copy.retry_after) == (3, 1.5)
    assert error_class(cls.code) is cls


def test_builtin_handlers_catch_them_too() -> None:
    """Code that caught what Python raises goes on working."""
    for name, builtin in {
        "UnknownServiceError": KeyError,
        "InvalidArgumentError": ValueError,
        "MissingExtraError": ImportError,
        "InputError": ValueError,
        "RerankTimeoutError": TimeoutError,
        "UnavailableError": ConnectionError,
        "OutOfMemoryError": MemoryError,
    }.items():
        assert issubclass(getattr(errors, name), builtin)


def test_only_what_may_succeed_later_is_retryable() -> None:
    """The policy retries by this alone."""
    retryable = {cls.code for cls in ALL if cls("x").retryable}
    assert retryable == {"timeout", "cold_start", "unavailable", "overloaded"}
    assert OverloadedError("x", retryable=False).retryable is False


def test_an_unknown_code_is_a_backend_error() -> None:
    """A newer server may send a code this client does not know."""
    assert error_class("from_the_future") is errors.BackendError
    assert error_class("invalid_input") is InputError

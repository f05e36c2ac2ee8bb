"""Every error rerankit raises on purpose.

::

    RerankitError                        error
    ├── ConfigurationError               configuration
    │   ├── UnknownServiceError          unknown_service      (also a KeyError)
    │   ├── InvalidArgumentError         invalid_argument     (also a ValueError)
    │   ├── ConfigFileError              config_file
    │   └── MissingExtraError            missing_extra        (also an ImportError)
    │       └── ServiceNotInstalledError service_not_installed (also an UnknownServiceError)
    ├── PluginError                      plugin
    │   ├── PluginLoadError              plugin_load
    │   ├── DuplicateServiceError        duplicate_service
    │   └── IncompatiblePluginError      incompatible_plugin
    ├── InputError                       invalid_input        (also a ValueError)
    ├── ScoringCancelledError            cancelled
    └── BackendError                     backend
        ├── AuthenticationError          authentication
        ├── NotFoundError                not_found
        │   ├── AppNotFoundError         app_not_found
        │   ├── FunctionNotFoundError    function_not_found
        │   ├── ClassNotFoundError       class_not_found
        │   └── ModelNotFoundError       model_not_found
        ├── RerankTimeoutError           timeout              retryable (also a TimeoutError)
        │   ├── ColdStartTimeoutError    cold_start           retryable
        │   └── DeadlineExceededError    deadline_exceeded
        ├── UnavailableError             unavailable          retryable (also a ConnectionError)
        │   └── CircuitOpenError         circuit_open
        ├── OverloadedError              overloaded           retryable, retry_after
        ├── OutOfMemoryError             out_of_memory        (also a MemoryError)
        └── ProtocolError                backend_protocol

``code`` is stable: programs may compare it, and it travels over HTTP. ``remedy`` is what to type or
change next. ``retryable`` says whether the same call may succeed later; only the policy retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rerankit.scoring import Attempt

__all__ = [
    "AppNotFoundError",
    "AuthenticationError",
    "BackendError",
    "CircuitOpenError",
    "ClassNotFoundError",
    "ColdStartTimeoutError",
    "ConfigFileError",
    "ConfigurationError",
    "DeadlineExceededError",
    "DuplicateServiceError",
    "FunctionNotFoundError",
    "IncompatiblePluginError",
    "InputError",
    "InvalidArgumentError",
    "MissingExtraError",
    "ModelNotFoundError",
    "NotFoundError",
    "OutOfMemoryError",
    "OverloadedError",
    "PluginError",
    "PluginLoadError",
    "ProtocolError",
    "RerankTimeoutError",
    "RerankitError",
    "ScoringCancelledError",
    "ServiceNotInstalledError",
    "UnavailableError",
    "UnknownServiceError",
    "error_class",
]


class RerankitError(Exception):
    """The root of the tree.

    Args:
        message: what went wrong, in one sentence.
        remedy: what to type or change next; each class has a default.
        value: the value that was wrong. Never a secret.
        service: the service it happened in, where there is one.
        retryable: overrides what the class says.
        retry_after: seconds the backend asked to wait before the next try.

    Attributes:
        attempts: every try of a call that failed for good, where the policy made several.
    """

    code: ClassVar[str] = "error"
    default_remedy: ClassVar[str] = "run `rerankit doctor` to see what is wrong"
    default_retryable: ClassVar[bool] = False
    attempts: tuple[Attempt, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        value: object = None,
        service: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy
        self.value = value
        self.service = service
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] Remedy: {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__)

    def to_dict(self) -> dict[str, object]:
        """The error as JSON: ``code``, ``message``, ``remedy``, ``retryable`` and, where known, the rest."""
        fields: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "retryable": self.retryable,
        }
        if self.service is not None:
            fields["service"] = self.service
        if self.retry_after is not None:
            fields["retry_after"] = self.retry_after
        return fields


def _rebuild(cls: type[RerankitError], state: dict[str, Any]) -> RerankitError:
    error = cls(state["message"])
    error.__dict__.update(state)
    return error


def error_class(code: str) -> type[RerankitError]:
    """The class whose ``code`` this is; ``BackendError`` for a code nobody here knows."""
    return next((cls for cls in _tree(RerankitError) if cls.code == code), BackendError)


def _tree(cls: type[RerankitError]) -> Iterator[type[RerankitError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


# --- configuration -------------------------------------------------------------------------------


class ConfigurationError(RerankitError):
    """The configuration cannot be used."""

    code = "configuration"
    default_remedy = "run `rerankit config show` to see every setting and where it came from"


class UnknownServiceError(ConfigurationError, KeyError):
    """No installed plugin offers a service of that name."""

    code = "unknown_service"
    default_remedy = "run `rerankit plugins` to see what is installed"


class InvalidArgumentError(ConfigurationError, ValueError):
    """A setting, or an argument of a service, is unknown or has a wrong value."""

    code = "invalid_argument"


class ConfigFileError(ConfigurationError):
    """A configuration file is absent, unreadable or not valid JSON."""

    code = "config_file"
    default_remedy = "correct the file, or point RERANKER_CONFIG at another"


class MissingExtraError(ConfigurationError, ImportError):
    """The service is known, but what it needs is not installed."""

    code = "missing_extra"


class ServiceNotInstalledError(MissingExtraError, UnknownServiceError):
    """The service is one of rerankit's own, and the extra that brings it is not installed."""

    code = "service_not_installed"


# --- plugins -------------------------------------------------------------------------------------


class PluginError(RerankitError):
    """An installed plugin is at fault."""

    code = "plugin"
    default_remedy = "run `rerankit plugins` to see every plugin and its state"


class PluginLoadError(PluginError):
    """A plugin's module, or the class it names, cannot be imported."""

    code = "plugin_load"


class DuplicateServiceError(PluginError):
    """Two distributions offer a service of the same name."""

    code = "duplicate_service"


class IncompatiblePluginError(PluginError):
    """A plugin was written for another version of the plugin interface."""

    code = "incompatible_plugin"


# --- one call ------------------------------------------------------------------------------------


class InputError(RerankitError, ValueError):
    """The query, the documents or ``top_n`` cannot be reranked. Nothing was sent to a backend."""

    code = "invalid_input"
    default_remedy = "pass a non-empty query string, a list of documents, and top_n >= 1 or None"


class ScoringCancelledError(RerankitError):
    """The caller gave up; work stopped at the next batch."""

    code = "cancelled"
    default_remedy = "nothing to do: the caller cancelled"


# --- backends ------------------------------------------------------------------------------------


class BackendError(RerankitError):
    """A backend failed in a way that has no class of its own."""

    code = "backend"


class AuthenticationError(BackendError):
    """The backend did not accept the credentials, or there are none."""

    code = "authentication"
    default_remedy = "set the credentials in the environment or .env, then run `rerankit doctor`"


class NotFoundError(BackendError):
    """The backend was reached, but what was named does not exist there."""

    code = "not_found"


class AppNotFoundError(NotFoundError):
    """No app of that name is deployed."""

    code = "app_not_found"


class FunctionNotFoundError(NotFoundError):
    """The app has no function of that name."""

    code = "function_not_found"


class ClassNotFoundError(NotFoundError):
    """The app has no class of that name."""

    code = "class_not_found"


class ModelNotFoundError(NotFoundError):
    """The model does not exist, or may not be read with these credentials."""

    code = "model_not_found"


class RerankTimeoutError(BackendError, TimeoutError):
    """The backend took too long."""

    code = "timeout"
    default_retryable = True
    default_remedy = "raise the service's timeout, or send fewer documents"


class ColdStartTimeoutError(RerankTimeoutError):
    """The backend was still starting when time ran out."""

    code = "cold_start"
    default_remedy = "try again in a minute, or keep a container warm"


class DeadlineExceededError(RerankTimeoutError):
    """The deadline of the whole call passed; trying again would be later still."""

    code = "deadline_exceeded"
    default_retryable = False
    default_remedy = "raise reranker_policy.deadline_s, send fewer documents, or set on_deadline to 'partial'"


class UnavailableError(BackendError, ConnectionError):
    """The backend cannot be reached, or the connection was lost."""

    code = "unavailable"
    default_retryable = True


class CircuitOpenError(UnavailableError):
    """The backend failed too often lately and is not being called for now."""

    code = "circuit_open"
    default_retryable = False
    default_remedy = "wait for the circuit breaker to close, or configure reranker_policy.fallback"


class OverloadedError(BackendError):
    """The backend is busy; ``retry_after`` says for how many seconds, where it told."""

    code = "overloaded"
    default_retryable = True
    default_remedy = "try again later, or give the backend more capacity"


class OutOfMemoryError(BackendError, MemoryError):
    """The backend ran out of memory."""

    code = "out_of_memory"
    default_remedy = "lower the service's token_budget or batch_size"


class ProtocolError(BackendError):
    """The backend answered with something that is not one finite score a document."""

    code = "backend_protocol"
    default_remedy = "report it to the backend's author: get_scores must return one finite float per document"

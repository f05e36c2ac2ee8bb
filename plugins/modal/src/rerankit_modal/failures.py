"""What modal's client raises, as rerankit's errors: each with the command that cures it."""

from __future__ import annotations

from rerankit.errors import (
    AppNotFoundError,
    AuthenticationError,
    BackendError,
    ColdStartTimeoutError,
    OutOfMemoryError,
    OverloadedError,
    RerankitError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit_modal.credentials import REMEDY as TOKEN_REMEDY
from rerankit_modal.wire import is_out_of_memory

__all__ = ["SERVICE", "cold_start", "out_of_memory", "translated", "unreachable"]

SERVICE = "modal"
_STARTING = ("startup", "start-up", "did not start", "failed to start")


def translated(error: BaseException, app: str, source: str) -> RerankitError:
    """The error of a call or a look-up.

    Args:
        error: what modal's client raised.
        app: the app that was called.
        source: where the credentials came from.
    """
    from modal import exception as theirs

    text = str(error) or type(error).__name__
    logs = f"run `modal app logs {app}` to see what happened there"
    if isinstance(error, RerankitError):
        return error
    if isinstance(error, theirs.AuthError):
        return AuthenticationError(
            f"Modal refused the token from the {source}: {text}", remedy=TOKEN_REMEDY, service=SERVICE
        )
    if isinstance(error, theirs.PermissionDeniedError):
        return AuthenticationError(
            f"the token from the {source} may not use app {app!r}: {text}",
            remedy="run `modal token info` to see the token's workspace, and use one of the app's workspace",
            service=SERVICE,
        )
    if isinstance(error, (theirs.ConflictError, theirs.NotFoundError)):
        return AppNotFoundError(
            f"app {app!r} does not take calls any more: {text}",
            remedy="run `rerankit modal deploy`",
            value=app,
            service=SERVICE,
        )
    if isinstance(error, theirs.InvalidError):
        return BackendError(
            f"Modal refused the request: {text}",
            remedy="correct what it names, such as a RERANKIT_MODAL_ setting, and run `rerankit modal deploy`",
            service=SERVICE,
        )
    if isinstance(error, theirs.TimeoutError):
        if any(sign in text for sign in _STARTING):
            return cold_start(f"a container of {app!r} timed out during cold start: {text}", app)
        return RerankTimeoutError(
            f"the function on Modal timed out: {text}",
            remedy="send fewer documents, or raise RERANKIT_MODAL_TIMEOUT and run `rerankit modal deploy`",
            service=SERVICE,
        )
    if isinstance(error, theirs.ImageBuildError):
        return BackendError(
            f"an image could not be built: {text}", remedy=f"run `modal image logs {error.image_id}`", service=SERVICE
        )
    if isinstance(error, theirs.ResourceExhaustedError):
        return OverloadedError(f"Modal's limits are reached: {text}", service=SERVICE)
    if isinstance(error, theirs.VersionError):
        return BackendError(
            f"Modal does not serve this client: {text}", remedy="pip install --upgrade modal", service=SERVICE
        )
    down = (theirs.ConnectionError, theirs.ServiceError, theirs.InternalError, theirs.InternalFailure)
    if isinstance(error, (*down, theirs.UnimplementedError)):  # the last is what a proxy in between answers
        return unreachable(f"Modal cannot be reached: {text}")
    if is_out_of_memory(f"{type(error).__name__}: {text}"):
        return out_of_memory(f"a container of {app!r} ran out of memory: {text}")
    if isinstance(error, theirs.RemoteError) and "terminated" in text:
        return UnavailableError(f"a container of {app!r} ended in mid-request: {text}", remedy=logs, service=SERVICE)
    kind = "" if isinstance(error, theirs.Error) else f"{type(error).__name__}: "
    return BackendError(f"the deployment {app!r} failed: {kind}{text}", remedy=logs, service=SERVICE)


def cold_start(message: str, app: str) -> ColdStartTimeoutError:
    return ColdStartTimeoutError(
        message,
        remedy=(
            "try again in a minute; to avoid cold starts set RERANKIT_MODAL_MIN_CONTAINERS=1 or more and run "
            f"`rerankit modal deploy`; if it stays so, see `modal app logs {app}`"
        ),
        service=SERVICE,
    )


def out_of_memory(message: str) -> OutOfMemoryError:
    return OutOfMemoryError(
        message,
        remedy=(
            "send fewer or shorter documents, or set RERANKIT_MODAL_GPU to one with more memory "
            "(or RERANKIT_MODAL_MEMORY higher) and run `rerankit modal deploy`"
        ),
        service=SERVICE,
    )


def unreachable(message: str) -> UnavailableError:
    return UnavailableError(
        message,
        remedy="check the network and https://status.modal.com, or configure reranker_policy.fallback",
        service=SERVICE,
    )

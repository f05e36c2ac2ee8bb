"""Batches and errors as plain data, which is all that passes between a container and its callers.

Containers answer in CBOR, never in pickles, so nothing they say can run code at the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rerankit.errors import BackendError, OutOfMemoryError, ProtocolError, RerankitError, error_class
from rerankit.scoring import ScoreBatch, ScoreKind

__all__ = ["batch_from_wire", "batch_to_wire", "error_from_wire", "error_to_wire", "is_out_of_memory"]

_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "out of memory", "exit code 137", "exit status: 137")


def batch_to_wire(batch: ScoreBatch) -> dict[str, Any]:
    return {
        "scores": list(batch.scores),
        "coverage": None if batch.coverage is None else [float(share) for share in batch.coverage],
        "tokens": None if batch.tokens is None else [int(count) for count in batch.tokens],
        "model": batch.model,
        "revision": batch.revision,
        "score_kind": None if batch.score_kind is None else batch.score_kind.value,
        "timings": dict(batch.timings),
        "partial": batch.partial,
    }


def batch_from_wire(answer: object) -> ScoreBatch:
    """The batch of an answer.

    Raises:
        RerankitError: the answer is an error.
        ProtocolError: the answer is neither.
    """
    if not isinstance(answer, Mapping):
        raise ProtocolError(f"the deployment answered {type(answer).__name__}, not a batch of scores")
    if "error" in answer:
        raise error_from_wire(answer["error"])
    try:
        kind = answer["score_kind"]
        return ScoreBatch(
            scores=answer["scores"],
            coverage=answer["coverage"],
            tokens=answer["tokens"],
            model=answer["model"],
            revision=answer["revision"],
            score_kind=None if kind is None else ScoreKind(kind),
            timings=answer["timings"],
            partial=answer["partial"],
        )
    except (KeyError, ValueError) as error:
        raise ProtocolError(
            f"the deployment's answer is not one this client knows: {error!r}",
            remedy="deploy the version that is installed here: `rerankit modal deploy`",
        ) from None


def error_to_wire(error: Exception) -> dict[str, Any]:
    """An error of a container as data, with its message and, where it is one of ours, its code."""
    if isinstance(error, RerankitError):
        return {"error": error.to_dict()}
    text = f"{type(error).__name__}: {error}"
    cls = OutOfMemoryError if is_out_of_memory(text) else BackendError
    return {"error": cls(text).to_dict()}


def error_from_wire(fields: object) -> RerankitError:
    if not isinstance(fields, Mapping):
        return ProtocolError(f"the deployment reported an error as {type(fields).__name__}")
    return error_class(str(fields.get("code")))(
        str(fields.get("message")),
        remedy=fields.get("remedy"),
        retryable=fields.get("retryable"),
        retry_after=fields.get("retry_after"),
    )


def is_out_of_memory(text: str) -> bool:
    """Whether an error's text tells of exhausted memory: by name, as torch is not installed at the caller's."""
    return any(sign in text for sign in _OUT_OF_MEMORY)

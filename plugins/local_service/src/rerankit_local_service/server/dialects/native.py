"""rerankit's own: pairs in, a whole ``ScoreBatch`` out. The format is in ``rerankit_local_service.wire``."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from rerankit.errors import InputError
from rerankit_local_service.server.dialects.call import Answer, Call, Dialect, Failure, status_of
from rerankit_local_service.server.dialects.fields import Body, Query, Texts, strings
from rerankit_local_service.wire import WireBatch, batch_to_wire

__all__ = ["NATIVE", "NativeError", "ScorePairsRequest"]


class GroupRequest(Body):
    """A query and its documents."""

    query: Query
    documents: Texts


class ScorePairsRequest(Body):
    """Pairs of one query or of several, as groups; the scores come in the order of all documents."""

    groups: list[GroupRequest]
    model: str | None = None
    reranker_type: str | None = None

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: no documents at all, or one that is no string.
        """
        pairs = [(group.query, text) for group in self.groups for text in strings(group.documents, "documents")]
        if not pairs:
            raise InputError("there are no pairs to score", remedy="send at least one group with a document", value=0)
        return Call(pairs, model=self.model or None, reranker_type=self.reranker_type or None, as_given=True)


class NativeError(TypedDict):
    """``error`` has ``code``, ``message``, ``remedy``, ``retryable`` and where known ``retry_after``."""

    error: dict[str, Any]
    id: str


def _answer(body: ScorePairsRequest, answer: Answer) -> WireBatch:
    return batch_to_wire(answer.batch, answer.instance)


def _error(failure: Failure, status: int) -> dict[str, Any]:
    return {"error": failure.error.to_dict(), "id": failure.request_id}


NATIVE = Dialect("native", _answer, _error, status=lambda error: 422 if status_of(error) == 400 else status_of(error))

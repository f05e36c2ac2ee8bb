"""What a client says to the two kinds of service it knows: ours, and the first application's own.

Which one is there is asked once: ours tells about itself under ``rerankit`` in ``GET /info``; the other has no
``/info``, but a ``GET /health`` that answers in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerankit.errors import ProtocolError
from rerankit.scoring import Capabilities, Pair, ScoreBatch, ScoreKind
from rerankit_local_service.wire import PROTOCOL, SCORE_PATH, batch_from_wire, groups_of, kind_from_wire

__all__ = ["ASSUMED", "FirstService", "OurService", "Wanted", "our_service"]

ASSUMED = Capabilities(ScoreKind.PROBABILITY, max_concurrency=8)
"""Until the service has told: first-party pointwise backends score in [0, 1]."""

_FIRST = Capabilities(ScoreKind.PROBABILITY, max_documents=1_000)
_FIRST_BATCH_SIZES = (16, 128)
_BLANK = "-"
"""Sent for a blank passage, which the first service refuses."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model a client asks for; ``batch_size`` is for the first service only."""

    model: str | None
    reranker_type: str | None
    batch_size: int | None


@dataclass(frozen=True, slots=True)
class OurService:
    """``rerankit serve``: everything a model knows about its scores comes back.

    Attributes:
        wanted: what to ask for.
        capabilities: the model's, within the service's limits.
        facts: what ``/info`` says about the model.
        instance: which process it is; another one may serve another model.
        settled: the model is loaded, so that what it says of itself stays true.
    """

    wanted: Wanted
    capabilities: Capabilities
    facts: Mapping[str, Any]
    instance: str | None
    settled: bool

    path = SCORE_PATH

    def bodies(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """What to send, in the order of the pairs."""
        wanted = {"model": self.wanted.model, "reranker_type": self.wanted.reranker_type}
        return [{**wanted, "groups": groups_of(pairs)}]

    def batch(self, answer: Any, service: str) -> ScoreBatch:
        """What an answer says.

        Raises:
            ProtocolError: it describes no batch.
        """
        return batch_from_wire(answer, service)


@dataclass(frozen=True, slots=True)
class FirstService:
    """SolaceAI's own service: one query a request, 1,000 passages at most, none of them blank."""

    wanted: Wanted
    capabilities: Capabilities = _FIRST
    facts: Mapping[str, Any] = field(default_factory=dict)
    instance: str | None = None
    settled: bool = True

    path = "/rerank"

    def bodies(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """What to send, in the order of the pairs: a body for each query."""
        size = self.wanted.batch_size
        low, high = _FIRST_BATCH_SIZES
        named = {
            "model_name_or_path": self.wanted.model,
            "reranker_type": self.wanted.reranker_type,
            "batch_size": None if size is None else min(max(size, low), high),
        }
        given = {name: value for name, value in named.items() if value is not None}
        return [
            {"query": group["query"], "passages": [text if text.strip() else _BLANK for text in group["documents"]]}
            | given
            for group in groups_of(pairs)
        ]

    def batch(self, answer: Any, service: str) -> ScoreBatch:
        """What an answer says.

        Raises:
            ProtocolError: it has no scores.
        """
        if not isinstance(answer, dict) or not isinstance(answer.get("scores"), list):
            raise ProtocolError(f"{service} answered without scores", service=service)
        return ScoreBatch(answer["scores"], model=answer.get("model_used"))


def our_service(info: Mapping[str, Any], wanted: Wanted, service: str) -> OurService:
    """The service that ``info``, the ``rerankit`` part of ``/info``, is about.

    Raises:
        ProtocolError: it speaks a newer protocol, or says something else than ours does.
    """
    if info.get("protocol") != PROTOCOL:
        raise ProtocolError(
            f"the service speaks protocol {info.get('protocol')}, this client {PROTOCOL}",
            remedy="give both the same version: pip install --upgrade rerankit-local-service",
            service=service,
        )
    try:
        models = info["models"]
        facts = next((model for model in models if _meant(model, wanted)), models[0])
        settled = facts["state"] in ("ready", "unloaded") and facts["model"] is not None
        kind = kind_from_wire(facts["score_kind"]) if settled else ASSUMED.score_kind
        capabilities = Capabilities(
            kind,
            listwise=bool(facts["listwise"]),
            max_documents=info["max_documents"],
            max_characters=info["max_characters"],
            max_concurrency=info["max_concurrency"],
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ProtocolError(f"the service's /info is not ours: {error!r}", service=service) from None
    return OurService(wanted, capabilities, facts, info.get("instance"), settled)


def _meant(model: Mapping[str, Any], wanted: Wanted) -> bool:
    if wanted.model is not None:
        return wanted.model in model["names"] or "*" in model["names"]
    return wanted.reranker_type in (None, model["service"], model["name"])

"""The services that are measured: parsed from the command line, built with scores kept on disk."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from rerankit import PairReranker
from rerankit.errors import InvalidArgumentError
from rerankit.input_order import InputOrder
from rerankit.loading import build_backend
from rerankit.policy.cache import CacheReranker, ScoreCache
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings

__all__ = ["INPUT_ORDER", "Contender", "default_store", "parse_contenders"]

_LABELLED = re.compile(r"([^=\s]+)=([a-z][\w:.-]*)")
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Contender:
    """One service with its arguments. ``args`` may hold secrets, so they stay out of the repr."""

    label: str
    service: str | None
    args: dict[str, Any] = field(default_factory=dict, repr=False)

    def build(self, cache: ScoreCache | None = None) -> PairReranker:
        """The reranker, with retries, requests split to its limits, and its scores kept in ``cache``.

        Nothing of ``reranker_policy`` applies: a fallback's scores are not this contender's. A listwise backend is
        not cached.

        Raises:
            RerankitError: it cannot be loaded.
        """
        if self.service is None:
            return InputOrder()
        policy = PolicySettings.model_validate({"retries": _RETRIES})
        reranker = apply_policy(build_backend(self.service, self.args), policy, build_backend)
        return reranker if cache is None or reranker.capabilities.listwise else CacheReranker(reranker, cache)

    def shown_args(self) -> dict[str, Any]:
        """The arguments for the eye, secrets hidden."""
        from rerankit.cli.configured import shown

        return shown(self.service, self.args)


INPUT_ORDER = Contender("input order", None)


def parse_contenders(texts: Sequence[str]) -> list[Contender]:
    """``mini``, ``crossencoder model_name_or_path=my/model max_length=256``, or ``small=crossencoder ...`` to label it.

    Raises:
        InvalidArgumentError: something else, or one label twice.
    """
    contenders: list[Contender] = []
    for text in texts:
        contender = _parsed(text)
        if contender.label in [INPUT_ORDER.label, *(other.label for other in contenders)]:
            raise InvalidArgumentError(
                f"two services are called {contender.label!r}",
                remedy="label them: --service 'small=crossencoder model_name_or_path=...'",
                value=text,
            )
        contenders.append(contender)
    return contenders


def default_store() -> Path:
    """Where scores are kept unless a path is named."""
    return Path(platformdirs.user_cache_path("rerankit")) / "eval-scores.db"


def _parsed(text: str) -> Contender:
    remedy = "write: --service 'mini', or --service 'LABEL=crossencoder model_name_or_path=my/model batch_size=8'"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{text!r} cannot be read: {error}", remedy=remedy, value=text) from None
    if not words:
        raise InvalidArgumentError("a service without a name", remedy=remedy, value=text)
    label, service = words[0], words[0]
    if found := _LABELLED.fullmatch(words[0]):
        label, service = found.groups()
    args = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise InvalidArgumentError(f"{word!r} of {text!r} is not NAME=VALUE", remedy=remedy, value=word)
        try:
            args[name] = json.loads(value) if value[:1] in ("[", "{") else value
        except ValueError as error:
            raise InvalidArgumentError(f"{value!r} is not JSON: {error}", remedy=remedy, value=word) from None
    return Contender(label, service, args)

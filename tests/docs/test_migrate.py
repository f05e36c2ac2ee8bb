"""docs/migrate.md: an application of SolaceAI's shape runs on rerankit with its import changed, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rerankit import RERANKER_MAPPING
from rerankit.arguments import validated
from rerankit.errors import RerankitError
from rerankit.loading import arguments_model
from rerankit.plugins.manager import plugin_manager

SNIPPETS = [
    {"corpus_id": "1", "title": "Bees", "text": "honey in winter", "score": 0.5},
    {"corpus_id": "2", "title": "Mars", "text": "", "score": 0.0},
    {"corpus_id": "1", "title": "Bees", "text": "a very long passage " * 300, "score": 0.2},
]


class OldReranker:
    """A class of the mapping that is left."""

    def __init__(self, model_name_or_path: str, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def get_scores(self, query: str, passages: list[str]) -> list[float]:
        return [1 / (1 + len(passage)) for passage in passages]


OLD_MAPPING = {"crossencoder": OldReranker}


class Application:
    """The finder, as it stands: dict lookup, keywords from the configuration, one positional call, a truth test."""

    def __init__(self, mapping: Mapping[str, Any], run_config: dict[str, Any], context_threshold: float = 0.0) -> None:
        self.reranker = mapping[run_config["reranker_service"]](**run_config["reranker_args"])
        self.context_threshold = context_threshold

    def find(self, query: str, snippets: list[dict[str, Any]]) -> dict[str, float]:
        if self.reranker:
            passages = [snippet["title"] + " " + snippet["text"] for snippet in snippets]
            scores = self.reranker.get_scores(query, passages)
            snippets = [{**s, "rerank_score": score} for s, score in zip(snippets, scores, strict=True)]
            snippets.sort(key=lambda snippet: snippet["rerank_score"], reverse=True)
        papers: dict[str, float] = {}
        for snippet in snippets:
            papers[snippet["corpus_id"]] = max(papers.get(snippet["corpus_id"], -1), snippet["rerank_score"])
        return {paper: score for paper, score in papers.items() if score >= self.context_threshold}


@pytest.mark.parametrize("mapping", [OLD_MAPPING, RERANKER_MAPPING], ids=["before", "after"])
def test_the_application_runs_as_it_is(
    mapping: Mapping[str, Any], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own configuration: a real cross-encoder, blank and overlong passages included."""
    monkeypatch.chdir(tmp_path)
    model = models / "cross-encoder/ms-marco-MiniLM-L6-v2"
    arguments = {"model_name_or_path": str(model), "batch_size": 256}
    run_config = {"reranker_service": "crossencoder", "reranker_args": arguments}
    papers = Application(mapping, run_config).find("how do bees survive?", SNIPPETS)
    assert set(papers) == {"1", "2"}
    assert all(type(score) is float and math.isfinite(score) and 0 <= score <= 1 for score in papers.values())


@pytest.mark.parametrize(
    ("service", "arguments"),
    [
        ("crossencoder", {"model_name_or_path": "mixedbread-ai/mxbai-rerank-large-v1", "batch_size": 256}),
        ("biencoder", {"model_name_or_path": "mixedbread-ai/mxbai-embed-large-v1"}),
        ("flag_embedding", {"model_name_or_path": "BAAI/bge-reranker-v2-m3"}),
        ("modal", {"app_name": "a", "api_name": "inference_api", "batch_size": 256, "gen_options": {}}),
        (
            "local_service",
            {"model_name_or_path": "m", "reranker_type": "crossencoder", "batch_size": 256, "timeout": 60},
        ),
    ],
)
def test_every_service_takes_what_it_took(service: str, arguments: dict[str, Any]) -> None:
    """The names and values of the old configuration files are valid."""
    assert service in RERANKER_MAPPING
    model = arguments_model(plugin_manager().service(service))
    assert model is not None
    validated(model, arguments, service=service)


def test_what_was_caught_is_still_caught() -> None:
    """A KeyError for an unknown service, a ValueError for a wrong argument, both with a remedy."""
    with pytest.raises(KeyError) as unknown:
        RERANKER_MAPPING["crosencoder"]
    with pytest.raises(ValueError, match="batchsize") as wrong:
        RERANKER_MAPPING["modal"](batchsize=3)
    for caught in (unknown.value, wrong.value):
        assert isinstance(caught, RerankitError)
        assert caught.remedy

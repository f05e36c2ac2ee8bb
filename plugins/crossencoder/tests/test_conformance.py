"""The conformance suite of rerankit, for each engine and for the bi-encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerankit.testing import RerankerConformance
from rerankit_crossencoder import BiEncoderReranker, CrossEncoderReranker


@pytest.fixture(scope="class")
def reranker(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> Iterator[object]:
    cls = request.cls
    with cls.kind(str(model_folder(cls.model)), **cls.arguments) as made:
        yield made


class TestReference(RerankerConformance):
    kind, model, arguments = CrossEncoderReranker, "bert", {"engine": "reference"}
    tolerance = 1e-5


class TestPacked(RerankerConformance):
    kind, model, arguments = CrossEncoderReranker, "deberta-v3", {"engine": "packed", "dtype": "float32"}
    tolerance = 1e-5


class TestPackedBfloat16(RerankerConformance):
    kind, model, arguments = CrossEncoderReranker, "deberta-v3", {"engine": "packed", "dtype": "bfloat16"}
    tolerance = 2e-2


class TestOpenVino(RerankerConformance):
    kind, model, arguments = CrossEncoderReranker, "bert", {"engine": "openvino", "dtype": "float32"}
    tolerance = 1e-5


class TestWindows(RerankerConformance):
    kind, model = CrossEncoderReranker, "bert"
    arguments = {"dtype": "float32", "on_overflow": "window", "normalize": False}  # noqa: RUF012 - as the others
    tolerance = 1e-4


class TestBiEncoder(RerankerConformance):
    kind, model, arguments = BiEncoderReranker, "bert", {}
    tolerance = 1e-5

"""The conformance suite of rerankit, for each engine and for the bi-encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rerankit.testing import RerankerConformance
from rerankit_crossencoder import BiEncoderReranker, CrossEncoderReranker
from rerankit_crossencoder.choice import cpu_has_int8


@pytest.fixture(scope="class")
def reranker(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> Iterator[object]:
    cls = request.cls
    with cls.kind(str(model_folder(cls.model)), **cls.arguments) as made:
        yield made


class Suite(RerankerConformance):
    """What each class below says: which reranker, of which model, with which arguments."""

    __test__ = False
    kind: ClassVar[type[CrossEncoderReranker | BiEncoderReranker]] = CrossEncoderReranker
    model: ClassVar[str]
    arguments: ClassVar[dict[str, Any]]
    tolerance: ClassVar[float] = 1e-5


class TestReference(Suite):
    __test__ = True
    model, arguments = "bert", {"engine": "reference"}


class TestPacked(Suite):
    __test__ = True
    model, arguments = "deberta-v3", {"engine": "packed", "dtype": "float32"}


class TestPackedBfloat16(Suite):
    __test__ = True
    model, arguments = "deberta-v3", {"engine": "packed", "dtype": "bfloat16"}
    tolerance = 2e-2


class TestOpenVino(Suite):
    __test__ = True
    model, arguments = "bert", {"engine": "openvino", "dtype": "float32"}


@pytest.mark.skipif(not cpu_has_int8(), reason="this processor has neither VNNI nor AMX")
class TestPackedInt8(Suite):
    __test__ = True
    model, arguments = "deberta-v3", {"engine": "packed", "dtype": "int8", "normalize": False}
    tolerance = 5e-2


class TestOpenVinoModernBert(Suite):
    __test__ = True
    model, arguments = "modernbert", {"engine": "openvino", "dtype": "float32"}


class TestWindows(Suite):
    __test__ = True
    model, arguments = "bert", {"dtype": "float32", "on_overflow": "window", "normalize": False}
    tolerance = 1e-4


class TestBiEncoder(Suite):
    __test__ = True
    kind, model, arguments = BiEncoderReranker, "bert", {}

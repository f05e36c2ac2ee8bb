"""Converted models on disk: all that scoring needs, so that neither torch nor transformers is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerankit_crossencoder.choice import UnsupportedModelError
from rerankit_crossencoder.engines.openvino import OpenVinoEngine
from rerankit_crossencoder.records import Records
from rerankit_crossencoder.tokens import PairTokenizer, Tokenizer

__all__ = ["load_conversion", "save_conversion"]


def save_conversion(
    model: Any, tokenizer: Tokenizer, records: Records, precision: str, expected: NDArray[np.float32]
) -> None:
    """Convert a ``CrossEncoder`` in float32 and keep it.

    Args:
        expected: the reference's logits of the pairs that engines are compared on.

    Raises:
        UnsupportedModelError: it cannot be converted.
    """
    from rerankit_crossencoder.engines.convert import convert
    from rerankit_crossencoder.engines.reference import activation_bytes

    if not isinstance(tokenizer, PairTokenizer):
        raise UnsupportedModelError("conversion of a model with a prompt template")
    with records.new_folder(_folder(precision)) as folder:
        convert(model, folder / "model.xml", precision)
        tokenizer.save(folder / "tokenizer.json")
        about = {
            "max_length": tokenizer.max_length,
            "pad": model.tokenizer.pad_token_id or 0,
            "token_bytes": activation_bytes(model.config, 4),
            "expected": expected.tolist(),
        }
        (folder / "about.json").write_text(json.dumps(about))


def load_conversion(
    records: Records, precision: str
) -> tuple[OpenVinoEngine, PairTokenizer, NDArray[np.float32]] | None:
    """(engine, tokenizer, the reference's logits) of a conversion, or ``None`` where there is none."""
    folder: Path = records.folder / _folder(precision)
    if not folder.is_dir():
        return None
    about = json.loads((folder / "about.json").read_text())
    engine = OpenVinoEngine(folder / "model.xml", precision, about["pad"], about["token_bytes"], about["max_length"])
    tokenizer = PairTokenizer.from_file(folder / "tokenizer.json", about["max_length"])
    return engine, tokenizer, np.array(about["expected"], np.float32)


def _folder(precision: str) -> str:
    return f"openvino-{'int8' if precision == 'int8' else 'float32'}-weights"

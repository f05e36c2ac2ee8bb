"""The shipped model beside its float32 original: ``python scripts/agreement.py WHEEL``.

Scores the passages of Python's own reference against a few questions with both, and prints Spearman's rank correlation
and the largest difference of the scores. WHEEL as for ``convert.py``. Needs scipy.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

from scipy.stats import spearmanr

import rerankit_mini.encoder as encoder
from rerankit_mini import MiniReranker

QUERIES = ["how do I catch an exception", "what is a generator", "default argument values", "how are classes created"]


def scores(dtype: str) -> list[float]:
    """The score of every pair."""
    passages = [part for text in topics.values() for part in text.split("\n\n") if len(part) > 200][:300]
    return [score for query in QUERIES for score in MiniReranker(dtype=dtype).get_scores(query, passages)]


def main(wheel: str) -> None:
    """Print the agreement."""
    shipped = {dtype: scores(dtype) for dtype in ("float32", "bfloat16")}
    with tempfile.TemporaryDirectory() as folder:
        convert = Path(__file__).parent / "convert.py"
        subprocess.run([sys.executable, convert, wheel, "--float32", folder], check=True, capture_output=True)
        encoder.FOLDER = Path(folder)
        encoder._encoders.clear()
        original = scores("float32")
    for dtype, found in shipped.items():
        difference = max(abs(a - b) for a, b in zip(found, original, strict=True))
        print(
            f"{dtype}: {len(found)} pairs, Spearman {spearmanr(found, original)[0]:.5f}, difference <= {difference:.4f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

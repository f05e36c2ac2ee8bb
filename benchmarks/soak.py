"""Memory over many requests of mixed sizes: it must stay flat.

    python benchmarks/soak.py                                   # 2,000 requests on a small model made here
    python benchmarks/soak.py --engine openvino --requests 500
    python benchmarks/soak.py --mini                            # the embedded default instead

Prints the resident memory over time, and by how much it grew after the warm-up (the first tenth). The model of an
engine is a BERT of 2 layers, so that the requests are many rather than long; documents have 5 to 600 tokens, requests
1 to 64.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
from peers_models import QUERY, SHAPES, make_model, make_passages

from rerankit import AbstractReranker, load_reranker
from rerankit_crossencoder import CrossEncoderReranker

WARM_UP = 10  # a tenth: matrix libraries meet new shapes at first
LIMIT = 1.05


def made(options: argparse.Namespace, folder: str) -> AbstractReranker:
    """What is loaded with requests."""
    if options.mini:
        return load_reranker("mini")
    small = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
    SHAPES["soak"] = ("bert", small)
    model = str(make_model("soak", Path(folder)))
    return CrossEncoderReranker(model, engine=options.engine, dtype=options.dtype, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--mini", action="store_true")
    parser.add_argument("--engine", default="packed", choices=["packed", "openvino", "reference"])
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    generator = random.Random(5)
    passages = make_passages(256)
    process, sizes, started = psutil.Process(), [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(made(options, folder)) as reranker:
        for number in range(1, options.requests + 1):
            documents = generator.sample(passages, generator.choice([1, 2, 4, 8, 16, 64]))
            reranker.get_scores(f"{QUERY} {number}", documents)
            sizes.append(process.memory_info().rss / 1e6)
            if number % max(1, options.requests // 20) == 0:
                print(f"{number:6d} requests  {time.perf_counter() - started:7.1f} s  {sizes[-1]:8.1f} MB", flush=True)
    warm = max(sizes[: len(sizes) // WARM_UP])
    growth = sizes[-1] / warm
    print(f"after the warm-up: {warm:.1f} MB; at the end: {sizes[-1]:.1f} MB; grew by {100 * (growth - 1):+.1f} %")
    sys.exit(growth > LIMIT)


if __name__ == "__main__":
    main()

"""One contender in a process of its own: ``peers_worker.py CONTENDER MODEL_FOLDER``. Driven by ``peers.py``.

Reads lines of JSON, ``{"query": ..., "passages": [...]}``, and answers each with its logits and the time they took.
Imports only what the contender itself imports, so that its start and its memory are its own.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import json  # noqa: E402 - the clock starts first
import math  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

Score = Callable[[str, list[str]], Any]

FLASHRANK = "ms-marco-TinyBERT-L-2-v2"
"""The name under which FlashRank is given a model made here: it accepts its own models' names only."""


def rerankit(folder: str, engine: str, dtype: str) -> Score:
    from rerankit import RerankitError
    from rerankit_crossencoder import CrossEncoderReranker

    try:
        reranker = CrossEncoderReranker(folder, engine=engine, dtype=dtype, device="cpu", normalize=False)
    except RerankitError as error:
        raise SystemExit(str(error)) from error
    chosen = reranker.diagnose()
    if chosen["engine"] != engine or chosen["dtype"].split()[0] != dtype:
        raise SystemExit(f"it would run as {chosen['engine']} in {chosen['dtype']}")
    return reranker.get_scores


def service(name: str) -> Score:
    from rerankit import load_reranker

    return load_reranker(name.removeprefix("service:")).get_scores


def sentence_transformers(folder: str, dtype: str) -> Score:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(folder, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    identity = torch.nn.Identity()

    def score(query: str, passages: list[str]) -> Any:
        return model.predict([(query, passage) for passage in passages], activation_fn=identity).tolist()

    return score


def rerankers(folder: str) -> Score:
    from rerankers import Reranker

    model = Reranker(folder, model_type="cross-encoder", device="cpu", verbose=0)

    def score(query: str, passages: list[str]) -> Any:
        results = model.rank(query=query, docs=passages, doc_ids=list(range(len(passages)))).results
        return [float(result.score) for result in sorted(results, key=lambda result: result.document.doc_id)]

    return score


def infinity(folder: str) -> Score:
    import asyncio

    from infinity_emb import AsyncEngineArray, EngineArgs

    arguments = EngineArgs(model_name_or_path=folder, engine="torch", device="cpu", model_warmup=False, compile=False)
    engine, loop = AsyncEngineArray.from_args([arguments])[0], asyncio.new_event_loop()
    loop.run_until_complete(engine.astart())

    def score(query: str, passages: list[str]) -> Any:
        results, _ = loop.run_until_complete(engine.rerank(query=query, docs=passages, raw_scores=True))
        return [float(result.relevance_score) for result in sorted(results, key=lambda result: result.index)]

    return score


def flashrank(folder: str) -> Score:
    """FlashRank's own code on our model: it knows its models by name, so the folder has that of one of its own."""
    from flashrank import Ranker, RerankRequest

    ranker = Ranker(model_name=FLASHRANK, cache_dir=folder, max_length=512)

    def score(query: str, passages: list[str]) -> Any:
        request = RerankRequest(query=query, passages=[{"id": i, "text": text} for i, text in enumerate(passages)])
        found = sorted(ranker.rerank(request), key=lambda passage: passage["id"])
        scores = [float(passage["score"]) for passage in found]
        return [math.log(score / (1 - score)) for score in scores]  # it gives probabilities only

    return score


CONTENDERS: dict[str, Callable[[str], Score]] = {
    "st": lambda folder: sentence_transformers(folder, "float32"),
    "st-bf16": lambda folder: sentence_transformers(folder, "bfloat16"),
    "rerankers": rerankers,
    "infinity": infinity,
    "flashrank": flashrank,
    **{
        f"{engine}-{short}": partial(rerankit, engine=engine, dtype=dtype)
        for engine in ("packed", "openvino", "reference")
        for short, dtype in (("f32", "float32"), ("bf16", "bfloat16"), ("int8", "int8"))
    },
}


def resident_mb() -> float:
    """The most memory this process has had resident, in MB; ``ru_maxrss`` would count its parent's before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    # Libraries print to stdout as they please; the protocol has a descriptor of its own.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, folder = sys.argv[1:]
    score = service(name) if name.startswith("service:") else CONTENDERS[name](folder)
    for line in sys.stdin:
        request = json.loads(line)
        cpu, clock = time.process_time(), time.perf_counter()
        scores = score(request["query"], request["passages"])
        answer = {
            "seconds": time.perf_counter() - clock,
            "cpu": time.process_time() - cpu,
            "since_start": time.perf_counter() - STARTED,
            "mb": resident_mb(),
            "scores": scores,
        }
        print(json.dumps(answer), file=channel, flush=True)
    os._exit(0)  # some peers leave threads behind that would wait for ever


if __name__ == "__main__":
    main()

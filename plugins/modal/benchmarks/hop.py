"""What the hop over the CPU front costs: one deployment, called both ways in turns.

    python plugins/modal/benchmarks/hop.py [APP] [ROUNDS]

Prints the medians in milliseconds and their ratio. On the cloud the figures are of your network and region.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from rerankit_modal import ModalEngine
from rerankit_modal.arguments import DEFAULT_APP

QUERY = "what is a panda"
PASSAGES = ["a bear that eats bamboo", "a snake"]


async def measure(app: str, rounds: int) -> dict[str, float]:
    """Medians in milliseconds."""
    engine = ModalEngine(app)
    taken: dict[str, list[float]] = {"Scorer.get_scores": [], "inference_api": []}
    for _ in range(rounds + 5):
        for name, times in taken.items():
            started = time.perf_counter()
            await engine.call(name, QUERY, PASSAGES, 256, seconds=300)
            times.append(time.perf_counter() - started)
    await engine.aclose()
    return {name: statistics.median(times[5:]) * 1000 for name, times in taken.items()}


def main(app: str = DEFAULT_APP, rounds: str = "50") -> None:
    direct, front = asyncio.run(measure(app, int(rounds))).values()
    print(f"the class, directly  {direct:8.1f} ms")
    print(f"over the front       {front:8.1f} ms, {front / direct:.2f} times as long")


if __name__ == "__main__":
    main(*sys.argv[1:])

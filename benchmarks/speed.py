"""Speed of one service, and of the cross-encoder engines beside their peers.

    python benchmarks/speed.py --service mini         # passages/s, tokens/s, memory, time to first score
    python benchmarks/speed.py --service mini --peer  # beside sentence-transformers' CrossEncoder, interleaved
    python benchmarks/speed.py --quick                # without --service: the table of peers.py, and its options

The service runs in a process of its own, whose time to first score includes its start and imports. The peer is
sentence-transformers' CrossEncoder of the same body as mini's (MiniLM-L6-H384, random head), in float32 as it comes.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import peers
import psutil
from peers_models import make_model, make_passages


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service")
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--clock", choices=["seconds", "cpu"], default="seconds", help="what the ratio compares")
    parser.add_argument("--peer", action="store_true")
    options, _ = parser.parse_known_args()
    if options.service is None:
        peers.main()
        return
    options = parser.parse_args()
    passages = make_passages(options.passages)
    folder = make_model("minilm", peers.CACHE / "models")
    names = [f"service:{options.service}"] + ["st"] * options.peer
    contenders = [found for name in names if (found := peers.started(name, folder, passages, options.threads))]
    if len(contenders) < len(names):
        sys.exit(1)
    for number in range(options.rounds):
        peers.one_round(contenders, passages, number, options.clock)
    tokens = sum(peers.token_lengths(folder, passages))
    print(
        f"{len(passages)} passages, {tokens} tokens, {options.rounds} rounds, {options.threads} threads",
        peers.cpu_name(),
    )
    for contender in contenders:
        seconds = statistics.median(contender.seconds)
        print(
            f"{contender.name:<16} {options.passages / seconds:8.1f} passages/s {tokens / seconds:9.0f} tokens/s "
            f"{contender.mb:6.0f} MB  first score {contender.first:.2f} s  disturbed {contender.disturbed}"
        )
        contender.process.terminate()
    if options.peer:
        ours, peer = contenders
        ratios = [b / a for a, b in zip(ours.seconds, peer.seconds, strict=True)]
        print(f"{options.service} is {statistics.median(ratios):.2f} x as fast as st (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()

"""Speed of rerankit's cross-encoder engines beside what people use today, on one workload, in one run.

    python benchmarks/peers.py --quick                          # MiniLM, 64 passages, 1 round, all peers
    python benchmarks/peers.py --passages 256 --rounds 5
    python benchmarks/peers.py --model mxbai-large --passages 16 --rounds 3
    python benchmarks/peers.py --growth --plot growth.png       # time over N = 1 ... 1024

Every contender runs in a process of its own, and peers that are no dependency of rerankit in an environment of their
own, made on first use. Rounds are interleaved, in an order drawn anew for each; ``x st`` is the median of the ratios
within rounds. ``limit`` is the share of the rate at which this machine multiplies large matrices in that precision,
measured in the same run. A round in which something else used the processors is marked as disturbed and counted;
on a machine that others use, ``--clock cpu --threads 1`` compares processor time instead, which they disturb little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from peers_models import QUERY, SHAPES, make_model, make_passages

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rerankit" / "peers"
BASES = ["st", "st-bf16"]
PEERS = ["rerankers", "infinity", "flashrank"]
GROWTH = (1, 16, 64, 256, 1024)
OURS = ["packed-f32", "packed-bf16", "packed-int8", "openvino-f32", "openvino-bf16", "openvino-int8"]
ENVIRONMENTS = {
    "rerankers": ["rerankers[transformers]", "torch==2.13.0"],
    "infinity": ["infinity-emb[torch]", "torch==2.13.0", "transformers<5", "click<8.2"],
    "flashrank": ["FlashRank", "torch==2.13.0", "transformers", "onnx", "onnxscript"],
}


@dataclass
class Contender:
    """A running worker and what it did."""

    name: str
    process: subprocess.Popen[str]
    first: float = 0.0
    seconds: list[float] = field(default_factory=list)
    disturbed: int = 0
    mb: float = 0.0
    scores: Any = None

    def run(self, passages: list[str]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"query": QUERY, "passages": passages}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}; see its messages above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def python_of(name: str) -> str:
    """The interpreter of a contender: this one, or that of an environment made for it."""
    if name not in ENVIRONMENTS:
        return sys.executable
    folder = CACHE / name
    if not (folder / "made").exists():
        print(f"making an environment for {name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-q", *ENVIRONMENTS[name]], check=True)
        (folder / "made").touch()
    return str(folder / "bin/python")


def started(name: str, folder: Path, passages: list[str], threads: int) -> Contender | None:
    """A warm contender, or ``None`` with a message where it cannot run."""
    quiet = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    environment = {**os.environ, **quiet, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    try:
        if name == "flashrank":
            subprocess.run([python_of(name), str(HERE / "peers_onnx.py"), str(folder)], check=True)
        process = subprocess.Popen(
            [python_of(name), str(HERE / "peers_worker.py"), name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if name in ENVIRONMENTS else None,
            text=True,
            env=environment,
        )
        contender = Contender(name, process)
        contender.first = contender.run(passages[:1])["since_start"]
        contender.run(passages[:2])
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return None
    return contender


def one_round(contenders: list[Contender], passages: list[str], number: int, clock_name: str) -> None:
    """Each contender once, in an order of its own."""
    for contender in random.Random(number).sample(contenders, len(contenders)):
        before, clock = busy_seconds(), time.perf_counter()
        answer = contender.run(passages)
        others = busy_seconds() - before - answer["cpu"]
        contender.disturbed += others > 0.1 * (time.perf_counter() - clock)
        contender.seconds.append(answer[clock_name])
        contender.mb, contender.scores = answer["mb"], np.array(answer["scores"])


def busy_seconds() -> float:
    """Processor time that anybody has used since the machine started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def matrix_rates(threads: int) -> dict[str, float]:
    """Operations a second of large prepacked products, by precision: the limit for anything made of them."""
    import torch

    from rerankit_crossencoder.choice import cpu_has_bfloat16, cpu_has_int8
    from rerankit_crossencoder.packed.linear import PRECISIONS, make_linear

    torch.set_num_threads(threads)
    rows, inputs, outputs = 1024, 1024, 4096
    rates = {}
    with torch.inference_mode():
        for short, precision in (("f32", "float32"), ("bf16", "bfloat16"), ("int8", "int8")):
            if (short == "bf16" and not cpu_has_bfloat16()) or (short == "int8" and not cpu_has_int8()):
                continue
            linear = make_linear(torch.randn(outputs, inputs), torch.zeros(outputs), precision)
            x = torch.randn(rows, inputs, dtype=PRECISIONS[precision])
            times = []
            for _ in range(12):
                clock = time.process_time() if threads == 1 else time.perf_counter()
                linear(x)
                times.append((time.process_time() if threads == 1 else time.perf_counter()) - clock)
            rates[short] = 2 * rows * inputs * outputs / min(times)
    return rates


def useful_work(model: str, lengths: list[int]) -> float:
    """Operations that scoring sequences of these lengths needs: linear layers, and attention's products."""
    _, shape = SHAPES[model]
    hidden, wide = shape["hidden_size"], shape["intermediate_size"]
    linear = 2 * (4 * hidden * hidden + 2 * hidden * wide)
    products = 6 if "pos_att_type" in shape else 2  # DeBERTa: two more, each over twice as many positions
    return float(sum(shape["num_hidden_layers"] * (linear * n + products * 2 * n * n * hidden) for n in lengths))


def spearman(a: Any, b: Any) -> float:
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (a, b))
    return float(np.corrcoef(first, second)[0, 1]) if len(first) > 1 else 1.0


def table(model: str, contenders: list[Contender], lengths: list[int], rates: dict[str, float]) -> list[dict[str, Any]]:
    """Print the table; give its rows."""
    base, work = contenders[0], useful_work(model, lengths)
    rows = []
    for contender in contenders:
        seconds = statistics.median(contender.seconds)
        precision = contender.name.rpartition("-")[2]
        ratio = statistics.median(a / b for a, b in zip(base.seconds, contender.seconds, strict=True))
        rows.append(
            {
                "contender": contender.name,
                "seconds": round(seconds, 3),
                "passages/s": round(len(lengths) / seconds, 1),
                "tokens/s": round(sum(lengths) / seconds),
                f"x {base.name}": round(ratio, 2),
                "limit": f"{100 * work / seconds / rates.get(precision, rates['f32']):.0f}%",
                "MB": round(contender.mb),
                "first s": round(contender.first, 2),
                "spearman": round(spearman(base.scores, contender.scores), 5),
                "max diff": float(f"{np.abs(base.scores - contender.scores).max():.2g}"),
                "disturbed": f"{contender.disturbed}/{len(contender.seconds)}",
            }
        )
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    print("  ".join(name.ljust(width) for name, width in widths.items()))
    for row in rows:
        print("  ".join(str(row[name]).ljust(width) for name, width in widths.items()))
    return rows


def plotted(growth: dict[str, dict[int, float]], path: Path) -> None:
    """Seconds over the number of passages, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5))
    for name, points in growth.items():
        axes.loglog(list(points), list(points.values()), marker="o", label=name)
    axes.set_xlabel("passages")
    axes.set_ylabel("seconds")
    axes.legend()
    axes.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="minilm")
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", help="the first is the base; by default ours, and with --quick all peers")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: the processor time it took")
    parser.add_argument("--quick", action="store_true", help="64 passages, 1 round")
    parser.add_argument("--growth", action="store_true", help="over N = 1, 16, 64, 256, 1024")
    parser.add_argument("--plot", type=Path, help="where to put the picture of --growth")
    parser.add_argument("--save", action="store_true", help="keep the result under benchmarks/results")
    options = parser.parse_args()
    if options.quick:
        options.passages, options.rounds = 64, 1
    # FlashRank makes one batch of all passages, padded to the longest, so it is not in the growth.
    names = (options.contenders or ",".join([*BASES, *OURS, *PEERS * options.quick])).split(",")
    folder = make_model(options.model, CACHE / "models")
    passages = make_passages(max(options.passages, max(GROWTH) if options.growth else 0))
    rates = matrix_rates(options.threads)
    found = [started(name, folder, passages, options.threads) for name in names]
    contenders = [contender for contender in found if contender is not None]
    growth: dict[str, dict[int, float]] = {contender.name: {} for contender in contenders}
    for count in GROWTH if options.growth else (options.passages,):
        for contender in contenders:
            contender.seconds.clear()
            contender.disturbed = 0
        for number in range(options.rounds):
            one_round(contenders, passages[:count], number, "cpu" if options.clock == "cpu" else "seconds")
        lengths = token_lengths(folder, passages[:count])
        print(f"\n{options.model}, {count} passages, {sum(lengths)} tokens, {options.threads} threads")
        rows = table(options.model, contenders, lengths, rates)
        for contender in contenders:
            growth[contender.name][count] = statistics.median(contender.seconds)
        if options.save:
            kept(options, count, lengths, rates, rows)
    for contender in contenders:
        contender.process.stdin.close()  # type: ignore[union-attr]
        contender.process.wait()
    if options.plot:
        plotted(growth, options.plot)


def token_lengths(folder: Path, passages: list[str]) -> list[int]:
    """Tokens of each pair, cut to what the model reads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [min(512, len(tokenizer.encode(QUERY, passage).ids)) for passage in passages]


def kept(options: Any, count: int, lengths: list[int], rates: dict[str, float], rows: list[dict[str, Any]]) -> None:
    """Write one result, with machine and date."""
    date = time.strftime("%Y-%m-%d")
    result = {
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": date,
        "machine": f"{options.threads} cores, {cpu_name()}, {platform.system()}, Python {platform.python_version()}",
        "passages": count,
        "tokens": sum(lengths),
        "matrix GFLOP/s": {name: round(rate / 1e9) for name, rate in rates.items()},
        "rows": rows,
    }
    kind, machine = "growth" if options.growth else "peers", "-".join(re.findall(r"[a-z0-9]+", cpu_name().lower()))
    target = HERE / "results" / f"{kind}-{options.model}-{count}-{machine}-{date}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()

"""What batching across callers brings to the service, and what overload does to it.

    python benchmarks/load.py                                    # mini, about 4 minutes
    python benchmarks/load.py --service crossencoder --arg model_name_or_path=PATH

Starts the real server process on loopback and loads it with real HTTP clients, which share the machine with it.
Throughput is closed-loop: each of 1, 8 and 32 clients asks for 8 documents and asks again when it has the answer.
Beside it, in the same run: the same server made to score each request alone (`unbatched`), and one client that asks
for 256 documents at once. The overload run is open-loop: 4 times what the server can do arrives, whatever it answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import math
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

import aiohttp
import httpx
import psutil

from rerankit.errors import RerankitError
from rerankit.reranker import PairReranker
from rerankit_local_service.server.run import listening_socket, run
from rerankit_local_service.server.selection import selected
from rerankit_local_service.server.settings import server_settings

SMALL, BIG = 8, 256
WORDS = ["".join(parts) for parts in itertools.product(("pla", "re", "sco", "wa", "ri"), ("net", "der", "re", "ver"))]
JSON = {"content-type": "application/json"}


@dataclass
class Figures:
    """Of one load."""

    documents: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds

    def row(self, name: str) -> str:
        """As a line of the table."""
        p50, p95, p99 = (1000 * percentile(self.latencies, share) for share in (0.50, 0.95, 0.99))
        rate = len(self.latencies) / self.seconds
        return f"{name:34}{rate:10.1f}{self.throughput:12.1f}{p50:10.1f}{p95:10.1f}{p99:10.1f}"


@dataclass
class Overload:
    """What became of the requests of an overload run."""

    sent: int
    statuses: Counter[str]
    latencies: list[float]
    refusals: list[float]
    missed: int
    without_retry_after: int
    rss_before: int
    rss_most: int
    alive: bool


def percentile(values: list[float], share: float) -> float:
    """By the nearest rank."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def passages(count: int, seed: int, words: int) -> list[str]:
    """Texts whose lengths are spread as passages' are: log-normal, ``words`` words at the median."""
    rng = random.Random(seed)
    return [
        " ".join(rng.choices(WORDS, k=max(3, round(rng.lognormvariate(math.log(words), 0.6))))) for _ in range(count)
    ]


def body(documents: int, seed: int, words: int) -> dict[str, object]:
    """A request."""
    return {"query": "which planet is the red one", "documents": passages(documents, seed, words)}


@contextlib.contextmanager
def server(service: str, arguments: list[str], *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """The server process, ready; gives its address. It is gone when the block ends."""
    command = [sys.executable, __file__, "--serve", "--service", service, *options]
    for argument in arguments:
        command += ["--arg", argument]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        while httpx.get(f"{url}/ready").status_code != 200:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}")
            told = httpx.get(f"{url}/ready").json()["models"][service]
            if told["state"] == "failed":
                raise SystemExit(f"{service} cannot be served: {told['error']['message']}. {told['error']['remedy']}")
            time.sleep(0.05)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@contextlib.asynccontextmanager
async def client(url: str, seconds: float = 300.0) -> AsyncIterator[aiohttp.ClientSession]:
    """Many connections; by aiohttp, lighter than httpx, since the clients share the machine with the server."""
    timeout, connections = aiohttp.ClientTimeout(seconds), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connections) as found:
        yield found


async def closed_loop(url: str, clients: int, documents: int, seconds: float, words: int) -> Figures:
    """Each client asks, and asks again when it has the answer."""
    figures = Figures()
    bodies = [json.dumps(body(documents, seed, words)).encode() for seed in range(16)]

    async def ask(http: aiohttp.ClientSession, number: int) -> None:
        turn = number
        while time.perf_counter() < end:
            began = time.perf_counter()
            async with http.post("/v2/rerank", data=bodies[turn % 16], headers=JSON) as answer:
                answer.raise_for_status()
                await answer.read()
            figures.latencies.append(time.perf_counter() - began)
            figures.documents += documents
            turn += 1

    async with client(url) as http:
        async with http.post("/v2/rerank", json=body(documents, 99, words)) as answer:
            await answer.read()
        started = time.perf_counter()
        end = started + seconds
        await asyncio.gather(*(ask(http, number) for number in range(clients)))
        figures.seconds = time.perf_counter() - started
    return figures


async def overload(
    url: str, process: psutil.Process, *, per_second: float, documents: int, words: int, seconds: float, deadline: float
) -> Overload:
    """Requests arrive at random moments, ``per_second`` of them, whatever becomes of those before."""
    rng = random.Random(7)
    found = Overload(0, Counter(), [], [], 0, 0, process.memory_info().rss, 0, True)
    bodies = [json.dumps(body(documents, seed, words)).encode() for seed in range(16)]
    headers = {**JSON, "x-rerankit-timeout": str(deadline)}

    async def ask(http: aiohttp.ClientSession, number: int) -> None:
        began = time.perf_counter()
        try:
            async with http.post("/v2/rerank", data=bodies[number % 16], headers=headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            found.statuses[type(error).__name__] += 1
            return
        took = time.perf_counter() - began
        found.statuses[str(answer.status)] += 1
        if answer.status == 200:
            found.latencies.append(took)
        elif answer.status in (429, 503):
            found.refusals.append(took)
            found.without_retry_after += "retry-after" not in answer.headers
        else:
            found.missed += 1

    async with client(url, deadline + 30) as http, asyncio.TaskGroup() as group:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            group.create_task(ask(http, found.sent))
            found.sent += 1
            if found.sent % 50 == 0:
                found.rss_most = max(found.rss_most, process.memory_info().rss)
            await asyncio.sleep(rng.expovariate(per_second))
        # Asked on the same connections, while the last answers are still coming.
        async with http.get("/ready") as ready:
            found.alive = process.is_running() and ready.status == 200
    found.rss_most = max(found.rss_most, process.memory_info().rss)
    return found


def serve(service: str, arguments: list[str], *, unbatched: bool) -> None:
    """The server's process: what ``rerankit serve`` runs; unbatched, each request is scored alone."""
    # Models of random weights can be measured, too.
    settings = server_settings(self_test=False, log_level="warning")
    (spec,) = selected([service], arguments, [], None)
    if unbatched:
        spec = replace(spec, build=functools.partial(alone, spec.build))
    listener = listening_socket("127.0.0.1", 0)
    print("http://{}:{}".format(*listener.getsockname()[:2]), flush=True)
    run([spec], settings, listener)


def alone(build: Callable[[], PairReranker]) -> PairReranker:
    """The model, said to be listwise: the service then never merges requests."""
    model = build()
    model.capabilities = replace(model.capabilities, listwise=True)
    return model


async def measure(service: str, arguments: list[str], seconds: float, rounds: int, words: int) -> float:
    """Print the table of throughputs; gives the documents a second of 32 clients."""
    print(f"{'':34}{'requests/s':>10}{'documents/s':>12}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}")
    kinds = {"batched": [], "unbatched": ["--unbatched"]}
    against_big, against_alone, throughputs = [], [], []
    with contextlib.ExitStack() as stack:
        urls = {kind: stack.enter_context(server(service, arguments, *options))[0] for kind, options in kinds.items()}
        for number in range(rounds):
            found = {}
            for kind, url in urls.items():
                for clients in (1, 8, 32):
                    found[kind, clients] = await closed_loop(url, clients, SMALL, seconds, words)
            big = await closed_loop(urls["batched"], 1, BIG, seconds, words)
            if number == rounds - 1:
                for (kind, clients), figures in found.items():
                    print(figures.row(f"{kind}, {clients} clients of {SMALL}"))
                print(big.row(f"batched, 1 client of {BIG}"))
            throughputs.append(found["batched", 32].throughput)
            against_big.append(throughputs[-1] / big.throughput)
            against_alone.append(throughputs[-1] / found["unbatched", 1].throughput)
    print(f"\n32 clients of {SMALL} against one of {BIG}: x{statistics.median(against_big):.2f}", end="")
    print(f" (rounds: {', '.join(f'{ratio:.2f}' for ratio in against_big)})")
    print(f"32 clients batched against one at a time: x{statistics.median(against_alone):.2f}", end="")
    print(f" (rounds: {', '.join(f'{ratio:.2f}' for ratio in against_alone)})")
    return statistics.median(throughputs)


def report(found: Overload, deadline: float) -> bool:
    """Print what became of the requests; whether the service did what it must."""
    # The server counts from when it has read a request, the client from before it connects.
    late = sum(latency > 1.1 * deadline for latency in found.latencies)
    print(f"  sent {found.sent}: {', '.join(f'{count} x {status}' for status, count in found.statuses.most_common())}")
    print(f"  accepted: {len(found.latencies) - late} in time, {late + found.missed} not;", end=" ")
    print(f"p50 {percentile(found.latencies, 0.5):.2f} s, p99 {percentile(found.latencies, 0.99):.2f} s")
    print(f"  refusals took p50 {1000 * percentile(found.refusals, 0.5):.0f} ms,", end=" ")
    print(f"p99 {1000 * percentile(found.refusals, 0.99):.0f} ms; {found.without_retry_after} without Retry-After")
    print(f"  memory {found.rss_before >> 20} MiB before, {found.rss_most >> 20} MiB at most; alive: {found.alive}")
    served = not late and not found.missed and set(found.statuses) <= {"200", "429", "503"}
    return found.alive and served and not found.without_retry_after


async def main(options: argparse.Namespace) -> int:
    """Both runs."""
    print(f"{options.service} {' '.join(options.arg)}".rstrip())
    capacity = await measure(options.service, options.arg, options.seconds, options.rounds, options.words)
    if not options.overload_seconds:
        return 0
    # Requests so big that 20 of them a second are what the server can do: the clients then do not limit the load.
    documents = max(SMALL, round(capacity / 20))
    print(
        f"\noverload: 4 x {capacity:.0f} documents/s in requests of {documents}, for {options.overload_seconds:.0f} s,"
    )
    print(f"  each to be answered within {options.deadline} s")
    with server(options.service, options.arg) as (url, process):
        await closed_loop(url, 8, documents, min(options.seconds, 5.0), options.words)
        found = await overload(
            url,
            process,
            per_second=4 * capacity / documents,
            documents=documents,
            words=options.words,
            seconds=options.overload_seconds,
            deadline=options.deadline,
        )
    return 0 if report(found, options.deadline) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", default="mini")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--words", type=int, default=60, help="in a document, at the median")
    parser.add_argument("--seconds", type=float, default=8.0, help="a load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overload-seconds", type=float, default=60.0, help="0 for none")
    parser.add_argument("--deadline", type=float, default=2.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--unbatched", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        if given.serve:
            serve(given.service, given.arg, unbatched=given.unbatched)
        else:
            sys.exit(asyncio.run(main(given)))
    except RerankitError as error:
        sys.exit(str(error))

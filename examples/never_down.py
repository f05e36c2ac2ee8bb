"""A reranking service is killed while clients use it: nobody notices but the ranking, which says who answered.

::

    python examples/never_down.py
    python examples/never_down.py --service crossencoder --arg model_name_or_path=./my-model

Eight clients rerank without a pause. The service they use (``rerankit serve``) is killed with -9, and later started
again. Meanwhile the same model answers inside the clients' process, and its rankings are marked degraded. A call that
raised would be counted as lost.
"""

from __future__ import annotations

import argparse
import collections
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from rich.console import Console
from rich.table import Table

from rerankit import PairReranker, RerankitError, load_reranker

CLIENTS = 8
PHASE_SECONDS = 5.0
QUERY = "how do bees find their way home?"
DOCUMENTS = [
    "Bees remember landmarks and the angle of the sun, and so find their way home.",
    "The hive is kept at a constant temperature all year.",
    "Foraging bees tell others of a place by dancing.",
    "Cities grow along rivers and roads.",
] * 2
PHASES = ("the service runs", "it is killed with -9", "it is started again")


class Service:
    """``rerankit serve`` as a process of its own."""

    def __init__(self, service: str, arguments: list[str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [sys.executable, "-m", "rerankit", "serve", "--service", service, "--port", str(self.port)]
        self._command += [part for argument in arguments for part in ("--arg", argument)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, patience: float = 120.0) -> None:
        """Start it, and wait until its model is ready."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + patience
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        self.end(signal.SIGKILL)
        raise SystemExit(f"the service did not start; try it yourself: {' '.join(self._command)}")

    def end(self, how: signal.Signals) -> None:
        """Send it a signal, and wait until it is gone."""
        if self._process is not None:
            os.kill(self._process.pid, how)
            self._process.wait()
            self._process = None


class Clients:
    """Threads that rerank, and count by phase who answered."""

    def __init__(self, reranker: PairReranker) -> None:
        self._reranker = reranker
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        self.phase = PHASES[0]
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.slowest: dict[str, float] = collections.defaultdict(float)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; every call that began is counted."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            phase, started = self.phase, time.monotonic()
            try:
                ranking = self._reranker.rerank(QUERY, DOCUMENTS)
            except RerankitError as error:
                outcome = f"lost: {error.code}"
            else:
                complete = sorted(d.index for d in ranking) == list(range(len(DOCUMENTS)))
                who = "the fallback, marked degraded" if ranking.degraded else "the service"
                outcome = who if complete else "lost: incomplete"
            with self._lock:
                self.counts[phase, outcome] += 1
                self.slowest[phase] = max(self.slowest[phase], time.monotonic() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", default="mini", help="what is served, and what stands in for it")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="an argument of it")
    parser.add_argument("--seconds", type=float, default=PHASE_SECONDS, help="of each of the three phases")
    asked = parser.parse_args()
    service = Service(asked.service, asked.arg)
    fallback = {"service": asked.service, "args": dict(argument.split("=", 1) for argument in asked.arg)}
    policy = {"fallback": [fallback], "deadline_s": 10, "breaker_failures": 3, "breaker_reset_s": 0.5}
    service.start()
    with load_reranker("local_service", url=service.url, policy=policy) as reranker:
        clients = Clients(reranker)
        clients.start()
        try:
            time.sleep(asked.seconds)
            clients.phase = PHASES[1]
            service.end(signal.SIGKILL)
            time.sleep(asked.seconds)
            service.start()
            clients.phase = PHASES[2]
            time.sleep(asked.seconds)
        finally:
            clients.stop()
            service.end(signal.SIGTERM)
    return report(clients)


def report(clients: Clients) -> int:
    """Print the counts; 1 if a call was lost, or if the service did not serve again."""
    table = Table(title=f"{CLIENTS} clients, {sum(clients.counts.values())} calls")
    for column in ("phase", "answered by", "calls", "slowest call of the phase"):
        table.add_column(column)
    for phase in PHASES:
        for (when, outcome), calls in sorted(clients.counts.items()):
            if when == phase:
                table.add_row(phase, outcome, str(calls), f"{clients.slowest[phase]:.2f} s")
    lost = sum(calls for (_, outcome), calls in clients.counts.items() if outcome.startswith("lost"))
    back = clients.counts[PHASES[2], "the service"] > 0
    console = Console()
    console.print(table)
    console.print(f"lost: {lost}; the service serves again: {'yes' if back else 'no'}")
    return 0 if back and not lost else 1


if __name__ == "__main__":
    sys.exit(main())

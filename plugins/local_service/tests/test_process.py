"""The real server process: what it prints, how it ends, what callers see when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rerankit.errors import UnavailableError
from rerankit_local_service import LocalServiceReranker

PLUGIN = """
    import time
    import rerankit
    from rerankit.arguments import ServiceArguments
    from rerankit.testing import FakeReranker

    class Arguments(ServiceArguments):
        delay: float = 0.0
        model_name_or_path: str | None = None
        stuck: bool = False

    class Words(FakeReranker):
        def __init__(self, delay=0.0, model_name_or_path=None, stuck=False):
            super().__init__(delay=delay)
            self.stuck = stuck

        def score_pairs(self, request):
            if self.stuck and len(request.pairs) == 1:
                time.sleep(3600)
            return super().score_pairs(request)

    @rerankit.hookimpl
    def rerankit_rerankers():
        return [rerankit.RerankerSpec("words", Words, arguments=Arguments, summary="shared words")]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed plugin whose model counts shared words."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "words_plugin.py").write_text(textwrap.dedent(PLUGIN))
    metadata = folder / "words_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: words-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rerankit.plugins]\nwords = words_plugin\n")
    return folder


class Process:
    """``rerankit serve``, running."""

    def __init__(self, site: Path, *options: str, config: object = None, **variables: str) -> None:
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        if config is not None:
            variables["RERANKER_CONFIG"] = str(site / "config.json")
            (site / "config.json").write_text(json.dumps(config))
        self.running = subprocess.Popen(
            [sys.executable, "-m", "rerankit", "serve", "--port", "0", *options],
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        assert self.running.stdout is not None
        self.told = "".join(self.running.stdout.readline() for _ in range(5))
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.told)
        self.url = found[0] if found else ""

    def _read(self) -> None:
        assert self.running.stderr is not None
        self.errors.extend(self.running.stderr)

    def wait_until_ready(self) -> None:
        """Until /ready says so."""
        end = time.monotonic() + 30
        while httpx.get(f"{self.url}/ready").status_code != 200:
            assert time.monotonic() < end, self.errors
            time.sleep(0.02)

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, and wait."""
        self.running.send_signal(sig)
        status = self.running.wait(30)
        self.reader.join(5)
        return status


@contextlib.contextmanager
def process(site: Path, *options: str, config: object = None, **variables: str) -> Iterator[Process]:
    """A server process that is gone when the block ends."""
    started = Process(site, *options, config=config, **variables)
    try:
        yield started
    finally:
        if started.running.poll() is None:
            started.running.kill()
            started.running.wait(10)
        started.reader.join(5)
        for stream in (started.running.stdout, started.running.stderr):
            if stream is not None:
                stream.close()


def test_it_says_where_it_listens_and_what_it_prints_works(site: Path) -> None:
    """The curl line and the client line are run as printed; the log is JSON; SIGTERM is a normal end."""
    with process(site, "--service", "words") as server:
        server.wait_until_ready()
        curl = re.search(r"curl .*", server.told)
        assert curl is not None
        answer = subprocess.run(curl[0] + " -s", shell=True, capture_output=True, text=True, check=True, timeout=20)
        assert json.loads(answer.stdout)["results"][0]["index"] == 1
        assert f"RERANKER_SERVICE_URL={server.url}" in server.told
        with LocalServiceReranker(url=server.url) as client:
            assert client.rerank("red planet", ["hot", "red planet"])[0].index == 1
        assert server.end() == 0
    lines = [json.loads(line) for line in server.errors]
    assert {"model ready", "request"} <= {line["message"] for line in lines}
    assert "red planet" not in "".join(server.errors)


def test_the_clients_configuration_serves_what_the_client_asks_for(site: Path) -> None:
    """One file for both: local_service's reranker_type and model_name_or_path are what is served."""
    args = {"reranker_type": "words", "model_name_or_path": "some/model"}
    config = {"run_config": {"reranker_service": "local_service", "reranker_args": args}, "logs": {}}
    with process(site, config=config) as server:
        server.wait_until_ready()
        with LocalServiceReranker("some/model", "words", url=server.url) as client:
            assert client.get_scores("q", ["q"]) == [1.0]


def test_accepted_work_is_finished_after_sigterm(site: Path) -> None:
    """The caller gets its answer, newcomers are refused, and the process ends by itself."""
    with process(site, "--service", "words", "--arg", "delay=1", "--no-self-test") as server:
        server.wait_until_ready()
        answers: list[list[float]] = []
        client = LocalServiceReranker(url=server.url)
        caller = threading.Thread(target=lambda: answers.append(client.get_scores("q", ["q"])))
        caller.start()
        time.sleep(0.5)
        assert server.end() == 0
        caller.join(10)
        client.close()
        assert answers == [[1.0]]
        with pytest.raises(UnavailableError, match="nothing answers"):
            LocalServiceReranker(url=server.url).get_scores("q", ["q"])


def test_the_end_comes_when_a_model_does_not_come_back(site: Path) -> None:
    """Stuck code cannot hold the process beyond its grace."""
    options = ("--service", "words", "--arg", "stuck=true", "--no-self-test", "--grace", "1")
    with process(site, *options) as server:
        server.wait_until_ready()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v2/rerank", json={"query": "q", "documents": ["q"]}, timeout=0.5)
        started = time.monotonic()
        server.end()
        assert time.monotonic() - started < 12


def test_killed_in_the_middle_callers_may_retry(site: Path) -> None:
    """kill -9 gives callers an error marked retryable."""
    with process(site, "--service", "words", "--arg", "delay=20", "--no-self-test", "--timeout", "60") as server:
        client = LocalServiceReranker(url=server.url)
        errors: list[BaseException] = []

        def call() -> None:
            try:
                client.get_scores("q", ["q"])
            except Exception as error:
                errors.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        time.sleep(0.5)
        server.end(signal.SIGKILL)
        caller.join(10)
        client.close()
    assert [type(error) for error in errors] == [UnavailableError]
    assert getattr(errors[0], "retryable", False)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--service", "nobody"], "unknown_service", "rerankit plugins"),
        (["--service", "words", "--arg", "dealy=1"], "invalid_argument", "delay"),
        (["--service", "words", "--arg", "delay"], "invalid_argument", "name=value"),
        (["--service", "words", "--service", "words"], "configuration", "small=mini"),
        (["--service", "a=words", "--service", "b=words", "--arg", "delay=1"], "invalid_argument", "a.delay=1"),
        (["--service", "words", "--alias", "x=nobody"], "invalid_argument", "words"),
        (["--service", "words", "--host", "0.0.0.0"], "configuration", "RERANKER_API_KEYS"),
        (["--service", "words", "--host", "203.0.113.7", "--allow-no-key"], "configuration", "--port"),
        (["--service", "words", "--timeout", "-1"], "invalid_argument", "--timeout"),
        (["--service", "local_service"], "configuration", "--service mini"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(site: Path, options: list[str], code: str, words: str) -> None:
    """With a code, what to type, and exit status 3."""
    with process(site, *options) as server:
        assert server.running.wait(30) == 3
        server.reader.join(5)
        told = "".join(server.errors)
    assert f"[{code}]" in told
    assert words in told

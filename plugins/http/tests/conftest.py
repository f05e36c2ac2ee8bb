"""Two servers: rerankit's own service in a process, for what works, and a scripted one, for what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_PLUGIN = """
import rerankit
from rerankit.testing import FakeReranker

def make():
    return FakeReranker()

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("words", make)]
"""


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of ``rerankit serve``, serving shared words under any model's name."""
    site = tmp_path_factory.mktemp("site")
    (site / "words_plugin.py").write_text(_PLUGIN)
    info = site / "words_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: words-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rerankit.plugins]\nwords = words_plugin\n")
    serve = [sys.executable, "-m", "rerankit", "serve", "--service", "words", "--alias", "*=words"]
    with subprocess.Popen(
        [*serve, "--port", "0", "--no-self-test", "--log-level", "error"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONUNBUFFERED": "1", "RERANKER_API_KEYS": "right-key"},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening on " in line, line
        yield line.split("listening on ")[1].split(",")[0]
        process.terminate()
        process.wait(20)


@dataclass
class Scripted:
    """A server that gives the answers it is told: ``(status, body, headers)``, the last one for ever."""

    url: str = ""
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def say(self, status: int, body: Any, **headers: str) -> None:
        self.answers.append((status, body, headers))


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            script.seen.append({"path": self.path, "headers": dict(self.headers), "body": body})
            script.asked.set()
            status, answer, headers = script.answers[0] if len(script.answers) == 1 else script.answers.pop(0)
            if status == 0:
                script.release.wait(20)
                self.close_connection = True
                return
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield script
    script.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without configuration, and an environment without keys."""
    monkeypatch.chdir(tmp_path)
    for name in ("CO_API_KEY", "JINA_API_KEY", "VOYAGE_API_KEY", "MY_KEY"):
        monkeypatch.delenv(name, raising=False)

"""A model hub on loopback: serves one folder as one repository, to the real ``hf`` client."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlparse

COMMIT = "a3f1c9e27b40d58861f2c0e4d97ab35e6c18f902"


class _Handler(BaseHTTPRequestHandler):
    folder: ClassVar[Path]
    repository: ClassVar[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = urlparse(self.path).path
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        if path == f"/api/models/{self.repository}":
            return self._send(json.dumps({"id": self.repository, "sha": COMMIT}).encode(), body=body)
        if path == f"/api/models/{self.repository}/tree/{COMMIT}":
            tree = [
                {
                    "type": "file",
                    "path": file.relative_to(self.folder).as_posix(),
                    "size": file.stat().st_size,
                    "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                }
                for file in files
            ]
            return self._send(json.dumps(tree).encode(), body=body)
        file = self.folder / path.removeprefix(f"/{self.repository}/resolve/{COMMIT}/")
        return self._send(file.read_bytes() if file in files else None, body=body)

    def _send(self, content: bytes | None, *, body: bool) -> None:
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("ETag", f'"{hashlib.sha1(content or b"").hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body and content is not None:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def model_hub(folder: Path, repository: str) -> Iterator[str]:
    """Serve ``folder`` as ``repository`` at ``COMMIT``; gives the value of HF_ENDPOINT."""
    handler = type("Handler", (_Handler,), {"folder": folder, "repository": repository})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

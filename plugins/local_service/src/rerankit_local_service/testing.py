"""For tests: a real service in a thread of the test's process, on a free port, with any reranker behind it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from rerankit.reranker import PairReranker
from rerankit.testing import FakeReranker
from rerankit_local_service.server.run import http_config, listening_socket
from rerankit_local_service.server.serving import ModelSpec
from rerankit_local_service.server.settings import server_settings

__all__ = ["Served", "serving"]

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A running service, and a client of it."""

    url: str
    http: httpx.Client

    def post(self, path: str, body: object, **keywords: Any) -> httpx.Response:
        """POST ``body`` as JSON."""
        return self.http.post(path, json=body, **keywords)

    def wait_until_ready(self) -> None:
        """Until every model is loaded.

        Raises:
            TimeoutError: 30 seconds have passed; says what ``/ready`` says.
        """
        end = time.monotonic() + _PATIENCE_S
        while (ready := self.http.get("/ready")).status_code != httpx.codes.OK:
            if time.monotonic() > end:
                raise TimeoutError(ready.text)
            time.sleep(0.01)


@contextlib.contextmanager
def serving(*models: ModelSpec | Callable[[], PairReranker], wait: bool = True, **settings: Any) -> Iterator[Served]:
    """A service of ``models`` until the block ends.

    Args:
        models: what to serve: specs, or what makes a reranker, then called ``mini``. By default a ``FakeReranker``.
        wait: until the models are loaded.
        settings: of ``ServerSettings``; the port is a free one.
    """
    specs = [m if isinstance(m, ModelSpec) else ModelSpec("mini", "mini", m) for m in models or (FakeReranker,)]
    chosen = server_settings(**{"port": 0, "grace": 2.0, **settings})
    listener = listening_socket(chosen.host, chosen.port)
    server = uvicorn.Server(http_config(specs, chosen))
    thread = threading.Thread(target=server.run, args=([listener],), name="rerankit-service", daemon=True)
    thread.start()
    url = "http://{}:{}".format(*listener.getsockname()[:2])
    try:
        with httpx.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False) as http:
            served = Served(url, http)
            if wait:
                served.wait_until_ready()
            yield served
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            raise TimeoutError("the service did not stop")

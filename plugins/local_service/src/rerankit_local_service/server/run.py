"""The server process: a socket, uvicorn, logs, and an end that comes in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import uvicorn
from pythonjsonlogger.json import JsonFormatter

from rerankit.errors import ConfigurationError
from rerankit_local_service.server.app import create_app
from rerankit_local_service.server.serving import ModelSpec
from rerankit_local_service.server.settings import ServerSettings

__all__ = ["http_config", "listening_socket", "run"]

_BACKLOG = 2_048
_KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection, so that it is they who close it and no request meets a closed one."""
_LAST_S = 5.0
"""After the grace, for releasing the models."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ConfigurationError: the port is taken, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            remedy=f"choose another port: rerankit serve --port {port + 1}, or stop what listens there",
            value=f"{host}:{port}",
        ) from None
    return found


def http_config(specs: Sequence[ModelSpec], settings: ServerSettings) -> uvicorn.Config:
    """The application, and how uvicorn runs it."""
    return uvicorn.Config(
        create_app(specs, settings),
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )


def run(specs: Sequence[ModelSpec], settings: ServerSettings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish accepted work; over within ``settings.grace`` and 5 seconds."""
    _log_as_json(settings.log_level)
    server = _Server(http_config(specs, settings), settings.grace + _LAST_S)
    # uvicorn raises the signal again when it is done: then it means a normal end.
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.serve([listener]))


class _Server(uvicorn.Server):
    """uvicorn, and a timer that ends the process when a model's code does not come back."""

    def __init__(self, config: uvicorn.Config, seconds: float) -> None:
        super().__init__(config)
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, os._exit, [1])
            self._timer.daemon = True
            self._timer.start()
        super().handle_exit(sig, frame)


def _end(sig: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _log_as_json(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"levelname": "level"})
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)

"""LocalModal: the control plane on a thread of its own, as a context manager."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpclib.server
from aiohttp import web
from grpclib.events import RecvRequest, listen
from grpclib.protocol import H2Protocol
from modal._utils.grpc_utils import custom_detail_codec

from .containers import Containers
from .state import Container
from .wire import servicer

TOKEN = ("ak-local", "as-local")
T = TypeVar("T")


class LocalModal:
    """``with LocalModal(folder, cache) as modal_:`` runs a control plane on 127.0.0.1 until the block ends.

    Args:
        folder: where uploads, containers and session-bound images go.
        cache: where images made of downloads alone may outlive the session.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self._arguments = (folder, cache)
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="local-modal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The server goes away: connections drop, containers are killed. May be called more than once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """What a client or the CLI needs to talk to this server, and to nobody else."""
        return {
            "MODAL_SERVER_URL": self.control.url,
            "MODAL_TOKEN_ID": TOKEN[0],
            "MODAL_TOKEN_SECRET": TOKEN[1],
            "MODAL_CONFIG_PATH": os.devnull,
        }

    def containers(self, app: str) -> list[Container]:
        """The app's containers that have come up and take inputs."""
        return self.on_loop(lambda: self._containers(app))

    def _containers(self, app: str) -> list[Container]:
        deployed = self.control.deployed.get(app)
        ready = [c for c in self.control.containers.values() if c.ready and not c.draining]
        return [c for c in ready if c.pool.app is deployed]

    def on_loop(self, function: Callable[[], T]) -> T:
        """Run ``function`` where the control plane's state may be read and changed."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _serve(self) -> None:
        try:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.control: Containers = servicer(Containers)(*self._arguments)
            self.control.tokens[TOKEN[0]] = TOKEN[1]
            server = _Server([self.control], status_details_codec=custom_detail_codec)
            listen(server, RecvRequest, self.control.authenticate)
            await server.start("127.0.0.1", 0)
            self.control.url = f"http://127.0.0.1:{_port(server._server)}"
            application = web.Application(client_max_size=1 << 30)
            application.add_routes(self.control.blob_routes())
            blobs = web.AppRunner(application, access_log=None)
            await blobs.setup()
            site = web.TCPSite(blobs, "127.0.0.1", 0)
            await site.start()
            self.control.blob_url = f"http://127.0.0.1:{_port(site._server)}/"
            watch = asyncio.ensure_future(self.control.watch())
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await self._stop.wait()
        watch.cancel()
        server.close()
        await self._end_containers()
        await blobs.cleanup()
        await server.drop_connections()
        shutil.rmtree(self.control.folder, ignore_errors=True)  # environments of a gigabyte and more

    async def _end_containers(self) -> None:
        for pool in self.control.pools.values():
            pool.live = False  # or the pool would start new ones
        for container in list(self.control.containers.values()):
            container.draining = True
            self.control.kill(container)
        await self.control.wait_for(lambda: not self.control.containers, 10)


class _Server(grpclib.server.Server):
    """grpclib's, which leaves connections open when it closes: a server that is gone has none."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._protocols: list[H2Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        self._protocols.append(super()._protocol_factory())
        return self._protocols[-1]

    async def drop_connections(self) -> None:
        for protocol in self._protocols:
            if hasattr(protocol.connection, "_transport"):  # grpclib deletes it when the other side hung up
                protocol.connection._transport.abort()
        await asyncio.sleep(0)  # the loop must run once for a transport to be closed


def _port(server: Any) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port

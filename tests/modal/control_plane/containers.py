"""Containers: real processes of modal's entrypoint, started and stopped as the settings ask, and their RPCs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2 as pb

from .calls import FAILURE, Calls
from .state import Container, Input, Pool
from .wire import CONTAINER_HEADER

CONTAINERS_PER_FUNCTION = 4
"""What this machine is good for, whatever a function's own maximum is."""
WATCH_S = 0.2
TIMEOUT = pb.GenericResult.GENERIC_STATUS_TIMEOUT


class Containers(Calls):
    # --- scaling ----------------------------------------------------------------------------------

    def scale(self, pool: Pool) -> None:
        if not pool.live or (pool.crash_looping and not pool.queue):
            return
        pool.crash_looping = False
        running, busy = pool.running, len(pool.queue) + pool.inputs_running
        wanted = max(pool.setting("min_containers"), -(-busy // pool.slots))
        limit = min(pool.setting("max_containers") or CONTAINERS_PER_FUNCTION, CONTAINERS_PER_FUNCTION)
        for _ in range(min(wanted, limit) - len(running)):
            self.spawn(self.run_container(self._add(pool)))

    def _add(self, pool: Pool) -> Container:
        container = Container(pool)
        pool.containers[container.id] = self.containers[container.id] = container
        self.container_ids.add(container.id)
        pool.counts.containers.container_active_count += 1
        return container

    async def watch(self) -> None:
        """Ends containers that idle beyond the window or take more memory than their function may."""
        while True:
            await asyncio.sleep(WATCH_S)
            for container in list(self.containers.values()):
                pool, limit = container.pool, container.pool.definition.resources.memory_mb_max
                if limit and _memory_mb(container) > limit:
                    self.kill(container, f"out of memory (limit {limit} MiB)")
                idle = container.ready and not container.inputs and not container.draining
                window = pool.setting("scaledown_window", 60)
                spare = len(pool.running) > pool.setting("min_containers")
                if idle and spare and time.time() - container.idle_since > window:
                    container.draining = True
                    self.notify()

    # --- the process ------------------------------------------------------------------------------

    async def run_container(self, container: Container) -> None:
        """A container from its start to its end; its home is a copy of the image's."""
        pool, definition = container.pool, container.pool.definition
        layer, home = await self.builds[definition.image_id], self.folder / "containers" / container.id / "root"
        await asyncio.to_thread(shutil.copytree, layer.home, home)
        for mount in definition.mount_ids:
            self.place_mount(mount, home.parent)
        variables = layer.variables_here(home) | self._container_variables(container, home)
        container.process = await asyncio.create_subprocess_exec(
            *(str(layer.python), "-m", "modal._container_entrypoint"),
            cwd=home,
            env=variables,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        startup = asyncio.get_running_loop().call_later(
            definition.startup_timeout_secs or pool.timeout, self._startup_timeout, container
        )
        await asyncio.gather(
            self._pump(container, container.process.stdout, pb.FILE_DESCRIPTOR_STDOUT),
            self._pump(container, container.process.stderr, pb.FILE_DESCRIPTOR_STDERR),
        )
        code = await container.process.wait()
        startup.cancel()
        self._ended(container, code)

    def _container_variables(self, container: Container, home: Path) -> dict[str, str]:
        pool = container.pool
        secrets: dict[str, str] = {}
        for secret in pool.definition.secret_ids:
            secrets |= self.secrets[secret]
        arguments = pb.ContainerArguments(
            task_id=container.id,
            function_id=pool.id,
            app_id=pool.app.id,
            function_def=pool.definition,
            environment_name="main",
            app_layout=self.layout(pool.app),
        )
        path = home.parent / f"arguments-{container.id}"
        path.write_bytes(arguments.SerializeToString())
        return secrets | {
            "MODAL_SERVER_URL": self.url,
            "MODAL_IS_REMOTE": "1",
            "MODAL_TASK_ID": container.id,
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(path),
            "MODAL_OVERRIDE_HEADERS": f"{CONTAINER_HEADER}:{container.id}",
            "MODAL_CONFIG_PATH": os.devnull,
            "MODAL_ENVIRONMENT": "main",
            "MODAL_IMAGE_ID": pool.definition.image_id,
            "PYTHONPATH": f"{home}:{self.environments.client / 'pkg'}",
            "PYTHONUNBUFFERED": "1",
        }

    async def _pump(
        self, container: Container, pipe: asyncio.StreamReader | None, stream: pb.FileDescriptor.ValueType
    ) -> None:
        assert pipe is not None
        async for line in pipe:
            self.log(container, stream, line.decode(errors="replace"))

    def _ended(self, container: Container, code: int) -> None:
        pool, why = container.pool, container.killed_for or f"exit code {code}"
        del pool.containers[container.id], self.containers[container.id]
        pool.counts.containers.container_errors += code != 0 and not container.draining
        ended = pb.GenericResult(status=FAILURE, exception=f"Container {container.id} terminated: {why}")
        for entry in list(container.inputs.values()):
            self.finish(entry, ended)
        if not container.ready and not container.draining:
            # It never came up: what waits for it fails, or containers would be started without end.
            pool.crash_looping = True
            while pool.queue:
                self.finish(pool.queue.popleft(), container.result or ended, pb.DATA_FORMAT_UNSPECIFIED)
        self.scale(pool)
        self.notify()

    def kill(self, container: Container, why: str = "") -> None:
        container.killed_for = container.killed_for or why
        if container.process is not None and container.process.returncode is None:
            os.killpg(container.process.pid, signal.SIGKILL)

    def _startup_timeout(self, container: Container) -> None:
        if not container.ready:
            seconds = container.pool.definition.startup_timeout_secs or container.pool.timeout
            text = f"Container {container.id} did not start within its startup timeout of {seconds}s"
            container.result = pb.GenericResult(status=TIMEOUT, exception=text)
            self.kill(container, text)

    # --- what a container asks --------------------------------------------------------------------

    @property
    def calling_container(self) -> Container:
        return self.containers[self.caller]

    def ContainerHello(self, request: Empty) -> Empty:
        return Empty()

    async def ContainerHeartbeat(self, request: pb.ContainerHeartbeatRequest) -> pb.ContainerHeartbeatResponse:
        container = self.calling_container
        await self.wait_for(lambda: container.draining, 10)
        return pb.ContainerHeartbeatResponse()

    async def FunctionGetInputs(self, request: pb.FunctionGetInputsRequest) -> pb.FunctionGetInputsResponse:
        container = self.calling_container
        pool, container.ready = container.pool, True
        await self.wait_for(lambda: pool.queue or container.draining, 30)
        if container.draining:
            return pb.FunctionGetInputsResponse(inputs=[pb.FunctionGetInputsItem(kill_switch=True)])
        if not pool.queue:
            return pb.FunctionGetInputsResponse()
        entry = pool.queue.popleft()
        entry.container = container
        container.inputs[entry.id] = entry
        entry.timer = asyncio.get_running_loop().call_later(pool.timeout, self._function_timeout, entry, container)
        item = pb.FunctionGetInputsItem(
            input_id=entry.id,
            input=entry.body,
            function_call_id=entry.call.id,
            function_call_invocation_type=entry.call.kind,
            function_map_idx=entry.index,
        )
        return pb.FunctionGetInputsResponse(inputs=[item])

    def _function_timeout(self, entry: Input, container: Container) -> None:
        text = f"Task's current input {entry.id} hit its timeout of {container.pool.timeout}s"
        self.finish(entry, pb.GenericResult(status=TIMEOUT, exception=text))
        self.kill(container, "an input timed out")

    def FunctionPutOutputs(self, request: pb.FunctionPutOutputsRequest) -> Empty:
        for output in request.outputs:
            entry = self.inputs.get(output.input_id)
            if entry is not None:
                self.finish(entry, output.result, output.data_format)
        return Empty()

    def FunctionCallPutDataOut(self, request: pb.FunctionCallPutDataRequest) -> Empty:
        self.calls[request.function_call_id].chunks.extend(request.data_chunks)
        self.notify()
        return Empty()

    def TaskResult(self, request: pb.TaskResultRequest) -> Empty:
        self.calling_container.result = request.result
        return Empty()


def _memory_mb(container: Container) -> float:
    if container.process is None:
        return 0.0
    try:
        return float(psutil.Process(container.process.pid).memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0

"""Apps, functions, calls and containers, as the control plane remembers them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from modal_proto import api_pb2 as pb

from .wire import new_id

DEFAULT_TIMEOUT_S = 300


@dataclass(eq=False)
class Input:
    """One input of a call, on its way to a container or there."""

    call: Call
    index: int
    body: pb.FunctionInput
    id: str = field(default_factory=lambda: new_id("in"))
    container: Container | None = None
    timer: asyncio.TimerHandle | None = None
    done: bool = False


@dataclass(eq=False)
class Call:
    pool: Pool
    kind: pb.FunctionCallInvocationType.ValueType
    id: str = field(default_factory=lambda: new_id("fc"))
    inputs: list[Input] = field(default_factory=list)
    outputs: list[pb.FunctionGetOutputsItem] = field(default_factory=list)
    chunks: list[pb.DataChunk] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return all(entry.done for entry in self.inputs)


@dataclass(eq=False)
class Container:
    """One container process."""

    pool: Pool
    id: str = field(default_factory=lambda: new_id("ta"))
    process: asyncio.subprocess.Process | None = None
    inputs: dict[str, Input] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    idle_since: float = field(default_factory=time.time)
    ready: bool = False
    draining: bool = False
    result: pb.GenericResult | None = None
    """What the container itself reported when it failed to start."""
    killed_for: str = ""


@dataclass(eq=False)
class Pool:
    """One function: its definition, its queue and its containers."""

    id: str
    app: App
    definition: pb.Function = field(default_factory=pb.Function)
    handle: pb.FunctionHandleMetadata = field(default_factory=pb.FunctionHandleMetadata)
    queue: deque[Input] = field(default_factory=deque)
    containers: dict[str, Container] = field(default_factory=dict)
    counts: pb.AppFunctionCounts = field(default_factory=pb.AppFunctionCounts)
    """What `modal app stats` shows."""
    live: bool = False
    crash_looping: bool = False
    """A container did not come up: the minimum is not refilled before somebody calls or deploys."""

    @property
    def name(self) -> str:
        return self.definition.function_name

    def setting(self, name: str, default: int = 0) -> int:
        settings = self.definition.autoscaler_settings
        return int(getattr(settings, name)) if settings.HasField(name) else default  # type: ignore[arg-type]

    @property
    def slots(self) -> int:
        """Inputs that one container takes at once."""
        return self.definition.max_concurrent_inputs or 1

    @property
    def timeout(self) -> int:
        return self.definition.timeout_secs or DEFAULT_TIMEOUT_S

    @property
    def running(self) -> list[Container]:
        return [container for container in self.containers.values() if not container.draining]

    @property
    def inputs_running(self) -> int:
        return sum(len(container.inputs) for container in self.containers.values())


@dataclass(eq=False)
class App:
    id: str
    description: str
    state: pb.AppState.ValueType
    deployed_name: str = ""
    created: float = field(default_factory=time.time)
    stopped: float = 0.0
    functions: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    history: list[pb.AppDeploymentHistory] = field(default_factory=list)
    logs: list[pb.TaskLogsBatch] = field(default_factory=list)

    def lifecycle(self) -> pb.AppLifecycle:
        return pb.AppLifecycle(
            app_state=self.state,
            created_at=self.created,
            deployed_at=self.history[-1].deployed_at if self.history else 0.0,
            version=len(self.history),
            stopped_at=self.stopped,
        )

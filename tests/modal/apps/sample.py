"""A deployment that does everything the control plane must carry: it is about modal, not about reranking."""

import asyncio
import os
import time
from collections.abc import Iterator
from importlib.metadata import distributions

import modal

GREETING = "first version"

image = modal.Image.debian_slim(python_version="3.11").uv_pip_install("regex").env({"COLOUR": "dark blue"})
app = modal.App("sample", image=image, include_source=True)


@app.cls(min_containers=2, max_containers=2, timeout=30)
@modal.concurrent(max_inputs=20)
class Warm:
    """Two warm containers, each taking 20 inputs at once."""

    @modal.enter()
    def load(self) -> None:
        self.running = self.most = 0

    @modal.method()
    def where(self) -> tuple[str, int]:
        return GREETING, os.getpid()

    @modal.method()
    async def crowd(self, seconds: float) -> int:
        """The largest number of inputs that were in this container at once."""
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(seconds)
        self.running -= 1
        return self.most


@app.cls(startup_timeout=1)
class Sluggish:
    """Takes longer to start than it may."""

    @modal.enter()
    def load(self) -> None:
        time.sleep(30)

    @modal.method()
    def answer(self) -> int:
        return 1


@app.cls()
class Unloadable:
    @modal.enter()
    def load(self) -> None:
        raise FileNotFoundError("no weights")

    @modal.method()
    def answer(self) -> int:
        return 1


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
def environment() -> tuple[dict[str, str], list[str]]:
    return dict(os.environ), sorted(d.name for d in distributions())


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
def count(upto: int) -> Iterator[int]:
    yield from range(upto)


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
def reverse(data: bytes) -> bytes:
    return data[::-1]


@app.function(timeout=2)
@modal.concurrent(max_inputs=20)
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@app.function()
@modal.concurrent(max_inputs=20)
def fail(text: str) -> None:
    raise ValueError(text)


@app.function()
def crash() -> None:
    os._exit(7)


@app.function(memory=(128, 256))
def devour() -> int:
    """Takes memory beyond its limit."""
    return sum(len(block) for block in [bytearray(b"x") * (32 << 20) for _ in range(64)])


@app.local_entrypoint()
def main() -> None:
    print("entrypoint heard:", reverse.remote(b"olleh").decode())

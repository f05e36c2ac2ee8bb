"""A deployment that is none of rerankit's: one function that works as callers expect, and many that do not."""

import ctypes
import math
import os
import time
from pathlib import Path

import modal

app = modal.App("faulty", image=modal.Image.debian_slim(python_version="3.11"), include_source=True)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class TrapError(Exception):
    """Whoever unpickles it runs its code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.args[0],)


@app.function()
@modal.concurrent(max_inputs=20)
def inference_api(query: str, passages: list[str], batch_size: int, scale: float = 1.0) -> list[float]:
    """Longer passages first."""
    return [scale * len(passage) / 100 for passage in passages]


@app.function()
@modal.concurrent(max_inputs=20)
def broken(query: str, passages: list[str], batch_size: int) -> list[float]:
    """Fails in the way that the query names."""
    if query == "short":
        return [0.5] * (len(passages) - 1)
    if query == "nan":
        return [math.nan] * len(passages)
    if query == "cuda":
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    raise ValueError(f"bad pair: {query}")


@app.function(_experimental_restrict_output=True)
def trap(query: str, passages: list[str], batch_size: int) -> list[float]:
    raise TrapError(query)


@app.function(timeout=1)
def slow(query: str, passages: list[str], batch_size: int) -> list[float]:
    time.sleep(30)
    return []


@app.function(timeout=60)
def stuck(query: str, passages: list[str], batch_size: int) -> list[float]:
    time.sleep(50)
    return []


@app.function(timeout=60, max_containers=1)
def narrow(query: str, passages: list[str], batch_size: int) -> list[float]:
    """One request at a time, in one container."""
    time.sleep(50)
    return []


@app.function()
def crash(query: str, passages: list[str], batch_size: int) -> list[float]:
    ctypes.string_at(0)
    return []


@app.function(memory=(128, 256))
def devour(query: str, passages: list[str], batch_size: int) -> list[float]:
    return [float(len(block)) for block in [bytearray(b"x") * (32 << 20) for _ in range(64)]]


@app.cls(startup_timeout=2)
class Sluggish:
    @modal.enter()
    def load(self) -> None:
        time.sleep(30)

    @modal.method()
    def scores(self, query: str, passages: list[str], batch_size: int) -> list[float]:
        return []


@app.cls()
class Unloadable:
    @modal.enter()
    def load(self) -> None:
        Path("weights").read_bytes()

    @modal.method()
    def scores(self, query: str, passages: list[str], batch_size: int) -> list[float]:
        return []

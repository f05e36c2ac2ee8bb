"""What a figure of speed was measured on."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

__all__ = ["describe", "peak_memory", "reference_seconds"]


def describe() -> dict[str, str | int]:
    """Processor, cores this process may use, memory, system, Python."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def peak_memory() -> int | None:
    """The most bytes this process has held in memory so far; ``None`` where the system does not tell.

    Read from ``/proc``: ``getrusage`` begins with what the parent process had.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def reference_seconds() -> float:
    """Seconds of a fixed piece of work (matrix products and Python), to see how fast the machine is at the moment."""
    matrix = np.ones((512, 512), dtype=np.float32)
    started = time.perf_counter()
    for _ in range(8):
        matrix.dot(matrix)
    sum(number * number for number in range(200_000))
    return time.perf_counter() - started


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

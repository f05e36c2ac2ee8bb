"""How much memory a batch may take."""

from __future__ import annotations

from pathlib import Path

__all__ = ["available_memory", "budget_for"]

_SHARE = 0.25  # of what is available, for one batch: the rest is other programs', and other models'


def budget_for(device: str, token_bytes: int, best: int, asked: int | None) -> int:
    """Tokens in one batch: what was asked for, else the best, but no more than fits into memory."""
    if asked is not None:
        return asked
    return max(64, min(best, int(available_memory(device) * _SHARE) // token_bytes))


def available_memory(device: str) -> int:
    """Bytes that can be allocated on ``device``; on CPU also by the limit of the process's control group."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    import psutil

    available = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        if limit != "max":
            available = min(available, int(limit) - int(used))
    except (OSError, ValueError):
        pass
    return max(available, 0)

"""The arguments of ``mini``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rerankit.arguments import ServiceArguments

__all__ = ["MiniArguments"]


class MiniArguments(ServiceArguments):
    """All have defaults: ``mini`` works without any."""

    threads: int | None = Field(None, ge=1, description="processor threads; by default all cores of the machine")
    token_budget: int = Field(3072, ge=256, description="tokens computed at once, padding included; bounds memory")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor multiplies in it; float32 gives one score everywhere"
    )
    normalize: bool = Field(True, description="scores in [0, 1]; false gives the logit under them")

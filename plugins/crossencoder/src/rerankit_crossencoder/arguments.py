"""The arguments of the services, checked before any model library is imported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from rerankit.arguments import ServiceArguments

__all__ = ["BiEncoderArguments", "CrossEncoderArguments", "Dtype", "EngineName", "ModelArguments", "Overflow"]

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16", "int8"]
EngineName: TypeAlias = Literal["auto", "reference", "packed", "openvino"]
Overflow: TypeAlias = Literal["truncate", "window", "error"]

_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelArguments(ServiceArguments):
    """Which model, and where it runs.

    Attributes:
        model_name_or_path: a folder, or a name on the Hugging Face hub.
        revision: branch, tag or commit on the hub.
        device: ``auto`` (cuda, else mps, else cpu), or what torch calls it.
        max_length: tokens of a query and a document together; the model's own limit by default, and at most.
        batch_size: pairs in one batch at most, beside the token budget.
        token_budget: tokens in one batch at most; by default what suits the processor's caches and the memory.
        trust_remote_code: run code from the model's repository; only with a ``revision`` that is a commit.
        cache_folder: where the hub's files are kept.
        local_files_only: never ask the network.
        progress: a progress bar on a terminal.
    """

    model_name_or_path: str = Field(min_length=1)
    revision: str | None = None
    device: str = "auto"
    max_length: int | None = Field(default=None, ge=8)
    batch_size: int = Field(default=32, ge=1)
    token_budget: int | None = Field(default=None, ge=16)
    trust_remote_code: bool = False
    cache_folder: str | None = None
    local_files_only: bool = False
    progress: bool = False

    @model_validator(mode="after")
    def _remote_code_is_pinned(self) -> Self:
        pinned = self.revision is not None and _COMMIT.fullmatch(self.revision)
        if self.trust_remote_code and not pinned and not Path(self.model_name_or_path).is_dir():
            raise ValueError(
                "trust_remote_code runs what others may change: it needs a revision that is a full commit hash, "
                "shown on the model's page under Files, History"
            )
        return self


class CrossEncoderArguments(ModelArguments):
    """Arguments of ``crossencoder`` and ``flag_embedding``.

    Attributes:
        dtype: the precision; ``auto`` is bfloat16 where the processor has it, else float32.
        engine: what runs the model; ``auto`` is the fastest that is valid for the model and the machine.
        normalize: scores in [0, 1]; ``False`` gives the model's logits.
        on_overflow: what happens to a pair that is longer than the model reads. ``truncate`` cuts the document and
            says so in its coverage; ``window`` scores overlapping windows and takes the best; ``error`` refuses.
    """

    dtype: Dtype = "auto"
    engine: EngineName = "auto"
    normalize: bool = True
    on_overflow: Overflow = "truncate"


class BiEncoderArguments(ModelArguments):
    """Arguments of ``biencoder``.

    Attributes:
        normalize: (1 + cosine) / 2, in [0, 1]; ``False`` gives the cosine.
    """

    normalize: bool = True

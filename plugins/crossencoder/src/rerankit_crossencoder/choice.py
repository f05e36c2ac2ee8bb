"""Which engine and precision: by what was asked for, the model and the machine. Imports no model library."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rerankit.errors import InvalidArgumentError
from rerankit_crossencoder.arguments import CrossEncoderArguments, Dtype

__all__ = ["PACKED_TYPES", "UnsupportedModelError", "candidates", "cpu_has_bfloat16", "cpu_has_int8", "precision_for"]

PACKED_TYPES = frozenset({"bert", "deberta-v2", "electra", "roberta", "xlm-roberta"})
"""The ``model_type``s that the packed engine executes."""


class UnsupportedModelError(Exception):
    """An engine does not run a model; the message says what of it. Another engine is tried."""


_PRECISIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "reference": {"cpu": ("float32", "bfloat16"), "gpu": ("float32", "bfloat16", "float16")},
    "packed": {"cpu": ("float32", "bfloat16", "int8"), "gpu": ("float32", "bfloat16", "float16")},
    "openvino": {"cpu": ("float32", "bfloat16", "int8"), "gpu": ()},
}


_NARROW = 384
"""Up to this width more of the time goes between the matrix products than into them, and OpenVINO fuses what lies
between; not for DeBERTa, whose attention it executes step by step (docs/crossencoder.md has the figures)."""


def candidates(arguments: CrossEncoderArguments, config: Mapping[str, Any], device: str) -> list[str]:
    """Engines to try, the fastest first; the reference comes last and always works.

    Args:
        config: the model's, as transformers keeps it.

    An engine that was asked for by name is the only one.
    """
    if arguments.engine != "auto":
        return [arguments.engine]
    if device != "cpu":
        return ["packed", "reference"] if device.startswith("cuda") else ["reference"]
    found = ["packed"] if config.get("model_type") in PACKED_TYPES else []
    causal = any(name.endswith("ForCausalLM") for name in config.get("architectures") or ())
    if find_spec("openvino") is not None and not causal:
        narrow = config.get("hidden_size", _NARROW + 1) <= _NARROW and config.get("model_type") != "deberta-v2"
        found.insert(0 if narrow else len(found), "openvino")
    return [*found, "reference"]


def precision_for(asked: Dtype, engine: str, device: str) -> tuple[str, str]:
    """(precision, why); float32 where bfloat16 was asked for and would only be emulated, slower and no more exact.

    Raises:
        InvalidArgumentError: the engine has no such precision on this device.
        UnsupportedModelError: it has, but this processor multiplies in it wrongly or far too slowly.
    """
    offered = _PRECISIONS[engine]["cpu" if device == "cpu" else "gpu"]
    if asked != "auto":
        if asked not in offered:
            raise InvalidArgumentError(
                f"the {engine} engine has no {asked} on {device}",
                remedy=f"set dtype to 'auto' or one of: {', '.join(offered) or 'none'}; or choose another engine",
                value=asked,
            )
        if asked == "int8" and engine == "packed" and device == "cpu" and not cpu_has_int8():
            # Without VNNI oneDNN adds pairs of products in 16 bits, which saturate: with float32 results are far
            # off, with bfloat16 ones a slow path is taken that is right.
            raise UnsupportedModelError("int8 takes a processor with VNNI or AMX")
        emulated = asked == "bfloat16" and device == "cpu" and not _has_bfloat16(engine)
        if emulated and engine != "reference":  # which runs as sentence-transformers does
            return "float32", "bfloat16 was asked for, and this processor does not compute in it"
        return asked, "as asked"
    if engine == "reference" and device == "cpu":
        return "float32", "the reference is exact on CPU"
    if device == "cpu":
        if _has_bfloat16(engine):
            return "bfloat16", "this processor computes in it"
        return "float32", "this processor has no bfloat16 of its own"
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_bf16_supported():
            return "bfloat16", "this GPU computes in it"
        return "float16", "this GPU has no bfloat16"
    return "float32", f"nothing faster is known to be exact on {device}"


def _has_bfloat16(engine: str) -> bool:
    if engine == "openvino":
        from rerankit_crossencoder.engines.openvino import has_bfloat16

        return has_bfloat16()
    return cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies matrices in bfloat16 (AVX512-BF16 or AMX); emulated, it is slower."""
    return _has_flag("avx512_bf16", "amx_bf16")


def cpu_has_int8() -> bool:
    """Whether the processor multiplies 8-bit matrices without saturating on the way (VNNI or AMX)."""
    return _has_flag("avx512_vnni", "avx_vnni", "amx_int8")


def _has_flag(*names: str) -> bool:
    """Whether Linux says that the processor has one of ``names``; where there is no Linux to ask, none."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(name in flags for name in names)

"""Does a model come with the prompt it was trained on? Read from its files; nothing is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rerankit.errors import InvalidArgumentError
from rerankit_crossencoder.arguments import ModelArguments
from rerankit_crossencoder.records import config_of, model_folder

__all__ = ["check_prompt"]

_FAMILIES = re.compile(r"(?i)qwen3-reranker|mxbai-rerank-\w+-v2|bge-reranker-v2-(gemma|minicpm)|rerankqa|rankllama")
"""Published rerankers that were trained on a prompt, by what their names have in common."""


def check_prompt(arguments: ModelArguments) -> None:
    """
    Raises:
        InvalidArgumentError: a model that reads pairs in a prompt has neither a chat template nor a default prompt.
    """
    folder = model_folder(arguments)
    if folder is None or not (reason := _needs_prompt(arguments.model_name_or_path, config_of(arguments))):
        return
    if any(folder.rglob("chat_template*")) or any(map(_has_prompt, folder.rglob("*config*.json"))):
        return
    raise InvalidArgumentError(
        f"the prompt template of {arguments.model_name_or_path} is missing: {reason}, and its files have none",
        remedy="put chat_template.jinja, which renders the roles 'query' and 'document' as in training, beside its "
        "weights, or fetch the model anew",
        value=arguments.model_name_or_path,
    )


def _needs_prompt(name: str, config: dict[str, Any]) -> str:
    """Why the model needs a prompt; empty where it does not."""
    if family := _FAMILIES.search(f"{name} {config.get('_name_or_path', '')}"):
        return f"{family[0]} was trained on one"
    architecture = (config.get("architectures") or [""])[0]
    if architecture.endswith("ForCausalLM"):
        return f"{architecture} continues a text that asks for a verdict"
    return f"{architecture} is a decoder" if _is_decoder(config.get("model_type", "")) else ""


def _is_decoder(model_type: str) -> bool:
    """Whether transformers knows the architecture only as a model that continues a text, not as one that fills gaps."""
    from transformers.models.auto import modeling_auto

    causal, masked = (getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES") for kind in ("CAUSAL_LM", "MASKED_LM"))
    return model_type in causal and model_type not in masked


def _has_prompt(path: Path) -> bool:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("chat_template") or config.get("default_prompt_name"))

"""Loading through sentence-transformers, with the troubles of model hubs as typed errors.

Whatever ``CrossEncoder`` loads, this loads, with its tokenizer, activation, prompts and templates.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rerankit.errors import (
    AuthenticationError,
    BackendError,
    InvalidArgumentError,
    ModelNotFoundError,
    OutOfMemoryError,
    RerankitError,
    UnavailableError,
)
from rerankit_crossencoder.arguments import ModelArguments
from rerankit_crossencoder.batches import is_out_of_memory

__all__ = ["cached_revision", "hub_folder", "load_cross_encoder", "loading_errors", "resolve_device"]

logger = logging.getLogger(__name__)


def load_cross_encoder(arguments: ModelArguments, dtype: str, device: str) -> Any:
    """A ``sentence_transformers.CrossEncoder`` with weights of ``dtype`` on ``device``.

    Raises:
        ModelNotFoundError, AuthenticationError, UnavailableError, OutOfMemoryError, InvalidArgumentError, BackendError.
    """
    with loading_errors(arguments):
        import torch
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(
            arguments.model_name_or_path,
            device=device,
            revision=arguments.revision,
            trust_remote_code=arguments.trust_remote_code,
            cache_folder=arguments.cache_folder,
            local_files_only=arguments.local_files_only,
            model_kwargs={"dtype": getattr(torch, dtype)},
        )
    if model.num_labels != 1:
        raise InvalidArgumentError(
            f"{arguments.model_name_or_path} gives {model.num_labels} labels a pair; a reranker gives one score",
            remedy="choose a model with num_labels 1",
            value=arguments.model_name_or_path,
        )
    if arguments.max_length is not None:
        model.max_seq_length = min(arguments.max_length, model.max_seq_length or arguments.max_length)
    return model.eval()


def resolve_device(device: str) -> str:
    """``auto`` as what this machine has: cuda, else mps, else cpu."""
    if device != "auto":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def hub_folder(arguments: ModelArguments) -> Path | None:
    """Where a hub model's files lie in the local cache, by the hub's own layout; ``None`` for a local folder."""
    if Path(arguments.model_name_or_path).is_dir():
        return None
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = arguments.cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME") or os.environ.get("HF_HUB_CACHE")
    return Path(cache or home / "hub") / f"models--{arguments.model_name_or_path.replace('/', '--')}"


def cached_revision(arguments: ModelArguments) -> str | None:
    """The commit of a hub model as the local cache has it; ``None`` for a local folder, or where it is not there."""
    folder = hub_folder(arguments)
    if folder is None:
        return None
    name = arguments.revision or "main"
    reference = folder / "refs" / name
    if reference.is_file():
        return reference.read_text().strip()
    return name if (folder / "snapshots" / name).is_dir() else None


@contextmanager
def loading_errors(arguments: ModelArguments) -> Iterator[None]:
    """Turn what the model libraries raise into typed errors."""
    try:
        yield
    except RerankitError:
        raise
    except Exception as error:
        raise _typed(error, arguments) from error


def _typed(error: Exception, arguments: ModelArguments) -> RerankitError:
    name = arguments.model_name_or_path
    causes = list(_chain(error))
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    statuses = {getattr(getattr(cause, "response", None), "status_code", None) for cause in causes}
    text = " ".join(str(cause) for cause in causes)
    if any(map(is_out_of_memory, causes)):
        return OutOfMemoryError(
            f"{name} does not fit into memory",
            remedy="choose a smaller model, or set dtype to 'bfloat16' or 'int8'",
            value=name,
        )
    if "trust_remote_code" in text:
        return InvalidArgumentError(
            f"{name} needs code from its repository, which is not run unless asked for",
            remedy="read that code, then set trust_remote_code to true and revision to the commit that you read",
            value=name,
        )
    if "GatedRepoError" in kinds or statuses & {401, 403}:
        return AuthenticationError(
            f"{name} may not be read: it is gated or private, or does not exist",
            remedy=f"accept its terms at https://huggingface.co/{name}, then run `hf auth login` or set HF_TOKEN",
            value=name,
        )
    if kinds & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
        return ModelNotFoundError(
            f"there is no model {name}" + (f" of revision {arguments.revision}" if arguments.revision else ""),
            remedy="correct model_name_or_path or revision, or give the path of a folder",
            value=name,
        )
    if "chat template" in text:
        return InvalidArgumentError(
            f"{name} has a chat template without a place for a query and a document: {_first_line(error)}",
            remedy="put chat_template.jinja, which renders the roles 'query' and 'document', beside its weights",
            value=name,
        )
    if _is_path(name) and (kinds & {"OSError"} or "model_type" in text):
        return ModelNotFoundError(
            f"{name} is not a folder with a model: {_first_line(error)}",
            remedy="give a folder with config.json, weights and tokenizer.json, or a model's name on the hub",
            value=name,
        )
    local = arguments.local_files_only or os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "True")
    if local and kinds & {"OSError", "LocalEntryNotFoundError", "ValueError"}:
        return ModelNotFoundError(
            f"{name} is neither a folder nor in the local cache, and the network may not be asked",
            remedy=f"run `hf download {name}` where there is a network, or unset local_files_only and HF_HUB_OFFLINE",
            value=name,
        )
    if kinds & {"ConnectionError", "ConnectError", "LocalEntryNotFoundError", "TimeoutException", "ConnectTimeout"}:
        return UnavailableError(
            f"the model hub cannot be reached, and {name} is not in the local cache",
            remedy=f"check the network or proxy, or copy the model here with `hf download {name}`",
            value=name,
        )
    if "OSError" in kinds and "is not a valid model identifier" in text:
        return ModelNotFoundError(
            f"there is no model {name}", remedy="correct model_name_or_path, or give the path of a folder", value=name
        )
    return BackendError(
        f"{name} cannot be loaded: {type(error).__name__}: {_first_line(error)}",
        remedy="check model_name_or_path; `python -m pip check` tells whether the model libraries fit together",
        value=name,
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_path(name: str) -> bool:
    return Path(name).exists() or name.startswith((".", "/", "~", "\\")) or name.count("/") > 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

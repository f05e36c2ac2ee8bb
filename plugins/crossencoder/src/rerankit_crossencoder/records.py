"""What is kept on disk about a model: conversions, and how engines compared with the reference.

A folder a model and version, under ``$XDG_CACHE_HOME/rerankit/models``. Everything is written beside its place and
then moved there, so that what is there is whole, whoever else writes at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rerankit_crossencoder.arguments import CrossEncoderArguments, ModelArguments
from rerankit_crossencoder.loading import cached_revision, hub_folder

__all__ = ["Records", "config_of", "model_folder", "records_of"]

_VERSIONS = ("rerankit-crossencoder", "torch", "transformers", "openvino")


class Records:
    """One model's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON object ``name``, or ``None`` where there is none that can be read."""
        try:
            found = json.loads((self.folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Keep a JSON object; where the disk refuses, it is not kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as file:
                json.dump(values, file)
            os.replace(file.name, self.folder / f"{name}.json")
        except OSError:
            return

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A folder to fill, which is ``name`` once the block ends without an error; the first to come stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield made
            if not (self.folder / name).exists():
                made.rename(self.folder / name)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def records_of(arguments: CrossEncoderArguments) -> Records | None:
    """The model's records, or ``None`` where its version cannot be told: a hub model that is not in the local cache."""
    local = Path(arguments.model_name_or_path)
    if local.is_dir():
        local = local.resolve()
        stats = [(path.name, path.stat()) for path in sorted(local.iterdir()) if path.is_file()]
        identity: Any = [str(local), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
    else:
        identity = cached_revision(arguments)
        if identity is None:
            return None
        identity = [arguments.model_name_or_path, identity]
    key = json.dumps([identity, arguments.max_length, [_version(name) for name in _VERSIONS]])
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Records(root / "rerankit" / "models" / f"{local.name}-{digest}")


def model_folder(arguments: ModelArguments) -> Path | None:
    """Where the model's files are on this machine; ``None`` where they are not at hand."""
    hub, revision = hub_folder(arguments), cached_revision(arguments)
    if hub is None:
        return Path(arguments.model_name_or_path)
    return hub / "snapshots" / revision if revision is not None else None


def config_of(arguments: ModelArguments) -> dict[str, Any]:
    """The model's ``config.json``, read without any model library; empty where it is not at hand."""
    folder = model_folder(arguments)
    try:
        found = {} if folder is None else json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

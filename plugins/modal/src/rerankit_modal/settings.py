"""What is deployed, and on what: read from ``RERANKIT_MODAL_*``, here and again inside the container."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rerankit.errors import InvalidArgumentError
from rerankit_modal.arguments import DEFAULT_APP

__all__ = ["MODEL_FOLDER", "NO_GPU", "PREFIX", "SELF_TEST", "DeploymentSettings", "read_settings"]

PREFIX = "RERANKIT_MODAL_"
MODEL_FOLDER = "~/model"
"""Where a container finds the model's files."""
NO_GPU = "none"
SELF_TEST = ("what is a panda", ["a bear that eats bamboo", "a snake"])
"""A query and two passages, which a working deployment scores, the first above the second."""

DEFAULT_MODEL = "mixedbread-ai/mxbai-rerank-large-v1"
DEFAULT_REVISION = "98f655841d5caf0b16eaff79c2b4ca109d920d17"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class DeploymentSettings(BaseSettings):
    """One deployment. Each field is the environment variable ``RERANKIT_MODAL_<FIELD>``.

    Attributes:
        app_name: the app on Modal.
        model: a model's name on the Hugging Face hub, or a local folder that holds one.
        revision: the commit of a hub model; the default model's is known.
        trust_remote_code: run the Python code that the model brings; only at a pinned revision.
        packages: what the model's code imports beside torch and transformers, separated by spaces.
        max_length: tokens of a pair that the model sees; ``None`` is the model's own limit.
        batch_size: pairs in one model batch at most, beside the engine's token budget.
        gpu: Modal's name of a GPU, or ``none``.
        min_containers: containers with the model kept warm; 0 scales to zero.
        max_containers: containers with the model at most.
        scaledown_window: seconds a container above the minimum idles before it ends, 2 to 3600.
        region: where it runs, by Modal's names; ``None`` leaves it to Modal.
        timeout: seconds one call may take in the container.
        startup_timeout: seconds a container may take to load the model.
        max_inputs: calls that one container takes at once, to share its batches.
        memory: MiB of memory of a model container.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, protected_namespaces=()
    )

    app_name: str = Field(default=DEFAULT_APP, pattern=r"^[a-zA-Z0-9._-]{1,63}$")
    model: str = Field(default=DEFAULT_MODEL, min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False
    packages: str = ""
    max_length: int | None = Field(default=None, ge=8)
    batch_size: int = Field(default=256, ge=1)
    gpu: str = "L4"
    min_containers: int = Field(default=2, ge=0)
    max_containers: int = Field(default=4, ge=1)
    scaledown_window: int = Field(default=300, ge=2, le=3600)
    region: str | None = None
    timeout: int = Field(default=20 * 60, ge=1)
    startup_timeout: int = Field(default=10 * 60, ge=1)
    max_inputs: int = Field(default=20, ge=1)
    memory: int = Field(default=4096, ge=128)

    @field_validator("revision")
    @classmethod
    def _is_a_commit(cls, revision: str | None) -> str | None:
        if revision is not None and not _COMMIT.fullmatch(revision):
            raise ValueError("give the 40 digits of a commit: a branch or a tag can come to mean another model")
        return revision

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.max_containers < self.min_containers:
            raise ValueError(f"{PREFIX}MAX_CONTAINERS is below {PREFIX}MIN_CONTAINERS ({self.min_containers})")
        return self

    @property
    def folder(self) -> Path | None:
        """The local folder that holds the model, where it is none of the hub's."""
        path = Path(self.model).expanduser()
        return path if path.is_dir() else None

    def require_pinned(self) -> None:
        """Refuse a hub model whose version is left open. Not asked in the container, where the files are.

        Raises:
            InvalidArgumentError: the model is no folder that is there, and not pinned to a commit.
        """
        if self.folder is None and self.model.startswith(("/", ".", "~")):
            raise InvalidArgumentError(
                f"there is no folder {self.model!r}",
                remedy=f"set {PREFIX}MODEL to a folder that holds a model, or to a model's name on the hub",
                value=self.model,
            )
        if self.folder is None and self.pinned_revision is None:
            raise InvalidArgumentError(
                f"{self.model!r} is no local folder, and a model of the hub needs its commit",
                remedy=f"set {PREFIX}REVISION to a commit of https://huggingface.co/{self.model}/commits/main",
                value=self.model,
            )

    @property
    def pinned_revision(self) -> str | None:
        """The commit of a hub model; ``None`` for a local folder."""
        return DEFAULT_REVISION if self.revision is None and self.model == DEFAULT_MODEL else self.revision


def read_settings() -> DeploymentSettings:
    """The settings of the environment and ``.env``.

    Raises:
        InvalidArgumentError: one of them is wrong; its variable is named.
    """
    try:
        return DeploymentSettings()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0]) if problem["loc"] else ""
        variable = f"{PREFIX}{field.upper()}: " if field else ""
        raise InvalidArgumentError(
            f"{variable}{problem['msg'].removeprefix('Value error, ')}",
            remedy="correct the variable in the environment or .env",
            value=problem["input"] if field else None,
        ) from None

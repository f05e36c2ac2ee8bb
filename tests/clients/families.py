"""The client families: what each environment of their own installs, and the script that drives it.

Cohere 7 and langchain-cohere 0.6, which needs cohere < 6, cannot share an environment; infinity-client wants
httpx < 0.28; so every family has one to itself.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FAMILIES", "NODE", "Family", "environment"]

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-clients"
"""Kept between runs; ignored by git, as everything that begins with .venv is."""


@dataclass(frozen=True)
class Family:
    """Clients that can be installed together."""

    name: str
    requirements: tuple[str, ...]
    node: bool = False

    @property
    def script(self) -> Path:
        """What runs in the environment; it gets the service's address and prints what the clients got, as JSON."""
        return HERE / "scripts" / f"{self.name}.{'mjs' if self.node else 'py'}"


FAMILIES = (
    Family("cohere5", ("cohere==5.21.*", "langchain-cohere==0.6.*")),
    Family("cohere7", ("cohere==7.*",)),
    Family("litellm", ("litellm",)),
    Family("voyage", ("voyageai",)),
    Family(
        "llamaindex",
        (
            "llama-index-postprocessor-tei-rerank",
            "llama-index-postprocessor-cohere-rerank",
            "llama-index-postprocessor-jinaai-rerank",
            "llama-index-postprocessor-xinference-rerank",
        ),
    ),
    Family("haystack", ("cohere-haystack", "jina-haystack", "huggingface-api-haystack", "vllm-haystack")),
    Family("infinity", ("infinity_client",)),
    Family("xinference", ("xinference-client",)),
)
NODE = Family("node", ("cohere-ai", "@ai-sdk/cohere", "ai", "@langchain/cohere", "@langchain/core", "voyageai"), True)


def environment(family: Family) -> list[str]:
    """The command that runs a script with the family's clients; made anew when its requirements change."""
    digest = hashlib.sha256(" ".join(family.requirements).encode()).hexdigest()[:8]
    folder = ENVIRONMENTS / f"{family.name}-{digest}"
    done = folder / ".installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if family.node:
            (folder / "package.json").write_text('{"private": true}')
            npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            subprocess.run([*npm, *family.requirements], cwd=folder, check=True, timeout=540)
        else:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, *family.requirements], check=True, timeout=540)
        done.touch()
    if family.node:
        # A module is looked for beside the script that asks for it.
        shutil.copy(family.script, folder)
        return ["node", str(folder / family.script.name)]
    return [str(folder / "bin" / "python"), str(family.script)]

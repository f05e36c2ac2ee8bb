"""The service driven by the real clients it claims to serve, each family in an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rerankit_local_service.testing import Served, serving


def _families() -> ModuleType:
    # In importlib mode test modules do not see their neighbours.
    spec = importlib.util.spec_from_file_location("client_families", Path(__file__).with_name("families.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


families = _families()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUERY = "red planet mars"
TEXTS = ["venus is hot", "mars the red planet", "a red rose", "mars, the red planet"]
RANKED = [[1, 1.0], [3, 1.0], [2, 1 / 3], [0, 0.0]]

EXPECTED = {
    "cohere5": {"ClientV2", "Client", "Client mappings", "langchain rerank", "langchain documents", "error"},
    "cohere7": {"ClientV2", "Client", "AsyncClientV2", "error"},
    "haystack": {"cohere", "jina", "tei", "vllm"},
    "infinity": {"rerank"},
    "litellm": {"cohere", "jina_ai", "infinity", "hosted_vllm", "huggingface", "voyage"},
    "llamaindex": {"tei", "cohere", "jina", "xinference"},
    "node": {"cohere", "ai-sdk", "langchain", "voyage", "error"},
    "voyage": {"rerank", "error"},
    "xinference": {"rerank"},
}
"""Which clients a family's script must have got an answer with."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A service of shared words; its scores are known beforehand."""
    with serving() as found:
        yield found


@pytest.mark.parametrize("family", [*families.FAMILIES, families.NODE], ids=lambda family: family.name)
def test_what_clients_get(served: Served, family: object) -> None:
    """The right order, the right scores, cut where they asked; errors are the client's own kind."""
    name = family.name  # type: ignore[attr-defined]
    if name == "node" and shutil.which("npm") is None:
        pytest.skip("there is no Node.js with npm")
    command = families.environment(family)
    ran = subprocess.run([*command, served.url, QUERY, json.dumps(TEXTS)], capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert {client.removesuffix(" top_n") for client in found} == EXPECTED[name]
    assert found.pop("error", True) is True
    for client, pairs in found.items():
        wanted = RANKED[:2] if client.endswith(" top_n") else RANKED
        assert [index for index, _ in pairs] == [index for index, _ in wanted], client
        assert [score for _, score in pairs] == pytest.approx([score for _, score in wanted], abs=1e-6), client

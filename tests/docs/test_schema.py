"""Every configuration that README, docs and examples show is valid by the schema of `rerankit config schema`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rerankit.schema import config_schema

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```json.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown() -> list[Any]:
    """The JSON blocks of the pages, and the files of the example whose services are installed here."""
    found: list[Any] = []
    pages = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").glob("paper_*/run_configs/*")),
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        blocks = (
            [text] if page.suffix == ".json" else re.findall(r"^```json.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        )
        for number, block in enumerate(blocks):
            if '"run_config"' in block:
                found.append(pytest.param(json.loads(block), id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("configuration", shown())
def test_the_schema_takes_what_the_pages_show(configuration: dict[str, Any]) -> None:
    """A fallback by its name, too."""
    jsonschema.validate(configuration, config_schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "section",
    [
        {"reranker_service": "minni"},
        {"reranker_servise": "mini"},
        {"reranker_service": "mini", "reranker_args": {"treads": 1}},
        {"reranker_service": "mini", "reranker_args": ["threads"]},
        {"reranker_policy": {"deadline": 1}},
        {"reranker_policy": {"deadline_s": -1}},
        {"reranker_policy": {"fallback": [{"servise": "mini"}]}},
        {"reranker_policy": {"fallback": [3]}},
        {"reranker_policy": {"observers": ["graphite"]}},
    ],
)
def test_the_schema_refuses_what_loading_refuses(section: dict[str, Any]) -> None:
    """So that an editor flags it."""
    assert not jsonschema.Draft202012Validator(config_schema()).is_valid({"run_config": section})

"""The arguments of the service, from whichever source they come."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rerankit.arguments import ServiceArguments


class FuzzyArguments(ServiceArguments):
    """Every field has a type, a default where it can have one, and a description for `rerankit config schema`."""

    match: Literal["whole", "partial", "words"] = Field(
        "words", description="compare with the whole text, its best matching part, or the set of its words"
    )
    ignore_case: bool = Field(True, description="upper and lower case are alike")
    max_characters: int = Field(20_000, ge=100, description="a document is cut after this many")

"""The fields dialects share, checked by the core's own rules; their JSON Schemas say what those accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from rerankit.documents import check_query, texts_of
from rerankit.errors import InputError
from rerankit.scoring import Pair

__all__ = ["Body", "Count", "Documents", "Query", "Texts", "pairs_of", "strings"]


class Body(BaseModel):
    """A request's body: fields nobody here knows are accepted, and an explicit null is as good as nothing."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), hide_input_in_errors=True)


Query = Annotated[
    str, BeforeValidator(check_query), WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"})
]
Count = Annotated[int, Field(ge=1)]
# Lists of Any: the core's own check names the position that is wrong, and mends what is no UTF-8.
Texts = Annotated[list[Any], WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1})]
Documents = Annotated[
    list[Any],
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"text": {"type": "string"}},
                        "required": ["text"],
                        "additionalProperties": True,
                    },
                ]
            },
        }
    ),
]


def pairs_of(query: str, texts: Sequence[str], name: str = "documents") -> list[Pair]:
    """Each of ``texts`` with the query.

    Raises:
        InputError: there are none.
    """
    if not texts:
        raise InputError(f"{name} is empty", remedy=f"send at least one text in {name}", value=0)
    return [(query, text) for text in texts]


def strings(texts: Sequence[Any], name: str) -> list[str]:
    """``texts``, all of them strings, encodable as UTF-8.

    Raises:
        InputError: one is something else; names its position.
    """
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"{name}[{position}] is {type(text).__name__}, not a string",
                value=type(text).__name__,
                remedy=f"send strings in {name}",
            )
    return texts_of(texts)

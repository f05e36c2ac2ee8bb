"""Modal's credentials: from the environment, ``.env`` or modal's own profile; which one is always known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dotenv import dotenv_values

from rerankit.errors import AuthenticationError

__all__ = ["REMEDY", "Credentials", "find_credentials"]

REMEDY = (
    "set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET in the environment or .env (tokens: https://modal.com/settings/tokens), "
    "or run `modal token new`"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, and where it was found. Only ``source`` may be shown."""

    token_id: str = field(repr=False)
    token_secret: str = field(repr=False)
    source: str


def find_credentials() -> Credentials:
    """The first complete token of: environment, ``.env``, modal's profile.

    ``MODAL_TOKEN`` is accepted for ``MODAL_TOKEN_ID``; modal itself does not know that name.

    Raises:
        AuthenticationError: there is none, or half of one, which is named.
    """
    for source, values in _places():
        token_id = values.get("MODAL_TOKEN_ID") or values.get("MODAL_TOKEN")
        token_secret = values.get("MODAL_TOKEN_SECRET")
        if token_id and token_secret:
            return Credentials(token_id, token_secret, source)
        if token_id or token_secret:
            missing = "MODAL_TOKEN_SECRET" if token_id else "MODAL_TOKEN_ID"
            raise AuthenticationError(f"{source} has half of a Modal token: {missing} is missing", remedy=REMEDY)
    raise AuthenticationError("there is no Modal token", remedy=REMEDY)


def _places() -> Iterator[tuple[str, Mapping[str, str | None]]]:
    yield "environment", os.environ
    yield ".env", dotenv_values(".env")

    from modal.config import config

    names = {"MODAL_TOKEN_ID": "token_id", "MODAL_TOKEN_SECRET": "token_secret"}
    yield "modal profile", {name: config.get(key, use_env=False) for name, key in names.items()}

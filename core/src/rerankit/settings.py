"""The configuration: call arguments, environment, ``.env`` and the application's JSON file, merged by one rule.

Precedence, highest first: call arguments, environment, ``.env``, JSON file, defaults. ``reranker_args`` belong to
the service named in the same source, or in the next lower source that names one: where a higher source names
another service, lower sources' arguments are dropped, not mixed in. ``reranker_policy`` is merged key by key.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerankit import _pydantic  # noqa: F401 - before the first model

# isort: split
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from rerankit._nearest import nearest
from rerankit.errors import ConfigFileError, ConfigurationError, InvalidArgumentError

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_SERVICE",
    "FILE",
    "SECTION",
    "UNSET",
    "Settings",
    "Source",
    "merge",
    "read_settings",
]

DEFAULT_SERVICE = "mini"
DEFAULT_FILE = Path("run_configs/default.json")
SECTION = "run_config"
FILE = "file "
"""How the label of a file's source begins."""

_KEYS = ("reranker_service", "reranker_args", "reranker_policy")
_log = logging.getLogger(__name__)


class _Unset:
    """No value was given; ``None`` is a value: no reranking."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()


class _Environment(BaseSettings):
    """What rerankit reads from the environment and ``.env``; everything else there is left alone."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="null",
        extra="ignore",
    )

    reranker_service: str | None = None
    reranker_args: dict[str, Any] = {}
    reranker_policy: dict[str, Any] = {}
    reranker_config: str | None = None
    config_path: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One place settings come from. ``args`` and ``policy`` may hold secrets, so they stay out of the repr."""

    label: str
    service: str | _Unset | None = UNSET
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    policy: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def where(self, section: str, key: str = "") -> str:
        """How an error names a value of this source."""
        if self.label not in ("environment", ".env"):
            return self.label
        whole = f"reranker_{section}".upper()
        nested = f"{whole}__{key}".upper()
        if not key:
            return f"{self.label}: {whole}"
        if self.label == ".env":
            return f".env: {nested}"
        return f"environment: {nested if _in_environment(nested) else whole}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What was decided, and by which source each value.

    Attributes:
        service: the service's name; ``None``: no reranking, documents stay in input order.
        args: the service's arguments, not yet validated.
        policy: ``reranker_policy``, not yet validated.
        sources: where each value came from, by ``service``, ``args.NAME`` and ``policy.NAME``.
        file: the JSON file that was read.
    """

    service: str | None
    args: Mapping[str, Any] = field(repr=False)
    policy: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, str]
    file: Path | None = None

    def sources_of(self, section: str) -> dict[str, str]:
        """Where each value of ``args`` or ``policy`` came from, by its name."""
        prefix = f"{section}."
        return {key.removeprefix(prefix): where for key, where in self.sources.items() if key.startswith(prefix)}


def read_settings(
    service: str | _Unset | None = UNSET,
    args: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
) -> Settings:
    """Read every source and merge them.

    Args:
        service: named by the caller; ``UNSET`` leaves it to the other sources.
        args: the caller's arguments for the service.
        policy: the caller's policy.
        config: the JSON file to read, instead of the one the environment names.

    Raises:
        ConfigFileError: the file was named and is absent, or is not a JSON object.
        ConfigurationError: a section of a wrong type.
        InvalidArgumentError: an unknown ``reranker*`` key in ``run_config``.
    """
    environment = _environment("environment")
    dotenv = _environment(".env")
    files = [config, environment.pop("file"), dotenv.pop("file")]
    named = next((file for file in files if file is not None), None)
    sources = [
        Source("call arguments", service, dict(args or {}), _section(policy, "reranker_policy", "call arguments"))
    ]
    sources += [Source(**found) for found in (environment, dotenv)]
    path: Path | None = Path(named) if named is not None else DEFAULT_FILE
    if path is not None and (named is not None or path.is_file()):
        sources.append(_file(path))
    else:
        path = None
    settings = merge(sources, file=path)
    _log.debug("reranker_service=%r, decided by %s", settings.service, settings.sources["service"])
    return settings


def merge(sources: Iterable[Source], *, file: Path | None = None) -> Settings:
    """Merge ``sources``, highest first, by the rule of this module."""
    ordered = [*sources, Source("default", DEFAULT_SERVICE)]
    naming = [source for source in ordered if not isinstance(source.service, _Unset)]
    service = naming[0].service
    decided: dict[str, str] = {"service": naming[0].where("service")}
    args: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    for position, source in enumerate(ordered):
        owner = next(lower for lower in ordered[position:] if not isinstance(lower.service, _Unset))
        sections = [("policy", source.policy, policy)]
        if owner.service == service:
            sections.append(("args", source.args, args))
        for section, values, merged in sections:
            for key, value in values.items():
                if key not in merged:
                    merged[key] = value
                    decided[f"{section}.{key}"] = source.where(section, key)
    assert not isinstance(service, _Unset)
    return Settings(service, args, policy, decided, file)


def _environment(label: str) -> dict[str, Any]:
    try:
        source = EnvSettingsSource(_Environment) if label == "environment" else DotEnvSettingsSource(_Environment)
        found = source()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"cannot read {label}: {error}", remedy=f"make {label} a readable UTF-8 text") from None
    except SettingsError as error:
        raise ConfigurationError(
            f"{label}: {error}", remedy="a whole section is given as JSON: RERANKER_ARGS='{\"batch_size\": 64}'"
        ) from None
    values: dict[str, Any] = {"label": label, "file": found.get("reranker_config") or found.get("config_path")}
    if "reranker_service" in found:
        values["service"] = found["reranker_service"]
    for section in ("args", "policy"):
        values[section] = _section(found.get(f"reranker_{section}"), f"reranker_{section}", label)
        values[section] = {key: _parsed(value) for key, value in values[section].items()}
    return values


def _file(path: Path) -> Source:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigFileError(f"cannot read {path}: {error.strerror}", value=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigFileError(f"{path} is not UTF-8 text", value=str(path)) from None
    except json.JSONDecodeError as error:
        raise ConfigFileError(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}",
            remedy=f"correct the JSON in {path}",
            value=str(path),
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets within brackets
        raise ConfigFileError(f"{path} cannot be read as JSON: {error}", value=str(path)) from None
    if not isinstance(document, dict):
        raise ConfigFileError(f"{path} holds {type(document).__name__}, not an object", value=str(path))
    section = _section(document.get(SECTION), SECTION, str(path))
    for key in section:
        if key.startswith("reranker") and key not in _KEYS:
            raise InvalidArgumentError(
                f"{path}: {SECTION} has an unknown key {key!r}{nearest(key, _KEYS)}",
                remedy=f"use one of: {', '.join(_KEYS)}",
                value=key,
            )
    service = section.get("reranker_service", UNSET)
    if not isinstance(service, (str, _Unset)) and service is not None:
        raise ConfigurationError(f"{path}: reranker_service is {service!r}, not a name or null", value=service)
    args, policy = (_section(section.get(key), key, str(path)) for key in ("reranker_args", "reranker_policy"))
    return Source(f"{FILE}{path}", service, args, policy)


def _section(value: object, key: str, label: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{label}: {key} is {type(value).__name__}, not an object", value=type(value).__name__)
    return dict(value)


def _parsed(value: object) -> object:
    """A list or an object given as JSON in one variable; other strings are coerced by the service's model."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _in_environment(name: str) -> bool:
    return any(variable.upper() == name for variable in os.environ)

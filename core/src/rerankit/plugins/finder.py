"""Which plugins are installed: read off distribution metadata, importing nothing."""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

__all__ = ["GROUP", "BrokenMetadata", "FoundPlugin", "find_plugins", "normalized"]

GROUP = "rerankit.plugins"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class FoundPlugin:
    """One entry point of the group, not yet loaded."""

    distribution: str
    version: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, order=True)
class BrokenMetadata:
    """A distribution that names our group, but whose metadata cannot be read."""

    distribution: str
    version: str
    reason: str


def find_plugins() -> list[FoundPlugin | BrokenMetadata]:
    """Every installed entry point of the group, sorted by distribution.

    Walks the distributions itself: one malformed line in any installed distribution makes
    ``importlib.metadata.entry_points()`` raise for all of them.
    """
    found: list[FoundPlugin | BrokenMetadata] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        reason = None
        try:
            text = distribution.read_text("entry_points.txt")
        except UnicodeDecodeError as error:
            text, reason = str(error.object, "latin-1"), "entry_points.txt is not UTF-8"
        except Exception as error:
            _log.debug("skipped a distribution whose entry points cannot be read: %r", error)
            continue
        if text is None or GROUP not in text:
            continue
        name, version = _identity(distribution)
        # The first on the path wins, as it does for imports.
        if normalized(name) not in seen:
            seen.add(normalized(name))
            if reason is None:
                found.extend(_plugins(distribution, name, version, text))
            else:
                found.append(BrokenMetadata(name, version, reason))
    return sorted(found, key=lambda plugin: (normalized(plugin.distribution), type(plugin).__name__, plugin))


def normalized(distribution: str) -> str:
    """The name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    try:
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:
            return str(name), str(version)
    except Exception as error:
        _log.debug("metadata that cannot be read: %r", error)
    # The folder says it too: name-version.dist-info.
    name, _, version = PurePath(str(getattr(distribution, "_path", "unnamed"))).stem.partition("-")
    return name, version or "unknown"


def _plugins(
    distribution: importlib.metadata.Distribution, name: str, version: str, text: str
) -> Iterator[FoundPlugin | BrokenMetadata]:
    try:
        points = [point for point in distribution.entry_points if point.group == GROUP]
        # The parts of an entry point are parsed when they are read, so a malformed value shows only here.
        values = [f"{point.module}:{point.attr}" if point.attr else point.module for point in points]
        if not points and f"[{GROUP}\n" in text:
            raise ValueError(f"the section [{GROUP} is not closed")
    except Exception as error:
        yield BrokenMetadata(name, version, f"malformed entry points: {type(error).__name__}: {error}")
        return
    for point, value in zip(points, values, strict=True):
        yield FoundPlugin(name, version, point.name, value)

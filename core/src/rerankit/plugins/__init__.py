"""Plugins: finding them, loading them guarded, and what they tell about themselves."""

from rerankit.plugins.hookspecs import hookimpl
from rerankit.plugins.specs import API_VERSION, CommandSpec, RerankerSpec

__all__ = ["API_VERSION", "CommandSpec", "RerankerSpec", "hookimpl"]

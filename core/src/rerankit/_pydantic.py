"""Makes pydantic ready; imported before anything makes a model.

With its first model pydantic asks ``importlib.metadata.entry_points()`` for plugins of its own, and one malformed line
in any installed distribution makes that raise. It asks only once: after the error it goes without.
"""

from __future__ import annotations

import logging

from pydantic import create_model

__all__: list[str] = []

try:
    create_model("First")
except Exception as error:
    logging.getLogger(__name__).debug("pydantic goes without plugins: %r", error)

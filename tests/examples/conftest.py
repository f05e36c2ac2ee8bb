"""The examples are programs, not distributions: their packages are imported from where they lie."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/paper_finder"))

"""``examples/never_down.py``: a service is killed with -9 while clients rerank, and no call is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "never_down.py"


@pytest.mark.slow
def test_no_call_is_lost_when_the_service_is_killed() -> None:
    """The fallback answers, marked degraded, and the service takes over again by itself."""
    done = subprocess.run([sys.executable, str(EXAMPLE), "--seconds", "4"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost: 0; the service serves again: yes" in done.stdout
    assert "marked" in done.stdout

"""The comparison with peers runs as documented, each peer in an environment that it makes itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"
CONTENDERS = ["st", "packed-f32", "openvino-f32", "rerankers", "infinity", "flashrank"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_peers_score_one_workload_alike(tmp_path: Path) -> None:
    """None is left out, all give one model's logits, so that their times compare the same work; a picture is drawn."""
    picture = tmp_path / "growth.png"
    command = [sys.executable, str(SCRIPT), "--passages", "12", "--rounds", "1", "--contenders", ",".join(CONTENDERS)]
    done = subprocess.run(
        [*command, "--plot", str(picture)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    heading, *lines = done.stdout[done.stdout.index("contender") :].splitlines()
    assert heading.split()[-4:] == ["spearman", "max", "diff", "disturbed"]
    rows = {line.split()[0]: line.split() for line in lines}
    assert list(rows) == CONTENDERS, done.stderr[-3000:]
    for name, row in rows.items():
        seconds, difference = float(row[1]), float(row[-2])
        assert seconds > 0
        assert difference < 1e-3, name
    assert picture.read_bytes().startswith(b"\x89PNG")

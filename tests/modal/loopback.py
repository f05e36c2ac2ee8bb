"""Try the guide without an account: runs a command with a control plane of this machine and a small model.

python tests/modal/loopback.py sh -c 'rerankit modal deploy && rerankit modal status'
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .control_plane import LocalModal
from .models import make_cross_encoder


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="loopback-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        model = make_cross_encoder(folder / "small", seed=7)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with LocalModal(folder / "state", Path(".pytest_cache/d/modal-images").absolute()) as server:
            environment = {**os.environ, "PATH": path, "RERANKIT_MODAL_MODEL": str(model), **server.environment}
            return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

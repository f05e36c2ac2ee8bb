"""Modal's control plane on loopback, for tests.

The unmodified modal client, CLI and container entrypoint run against it; deployed functions run in real
container processes, in an environment installed from what their image declares. It shows that our code and
modal's fit together. It proves nothing about the cloud's scaling, GPUs, cold starts or prices.

Modal's protocol is internal and moves with its client, so the tests pin modal exactly (``MODAL_VERSION``).

::

    server.py      LocalModal: starts, stops, breaks; what a test holds in its hands
    wire.py        handlers as plain methods; authentication; waiting for something to happen
    state.py       apps, functions, calls, containers
    account.py     client, token, environment, blobs, mounts, secrets
    images.py      image RPCs;  environments.py  what they build: a virtual environment and a home folder
    apps.py        deploy, list, info, history, stop;  logs.py  logs and stats
    functions.py   definitions and look-up of functions and classes
    calls.py       the caller's side of a call;  containers.py  the container's side, and scaling
"""

from .server import LocalModal
from .wire import MODAL_VERSION

__all__ = ["MODAL_VERSION", "LocalModal"]

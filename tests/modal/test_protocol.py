"""When modal's protocol moves, a test says so before the others fail in riddles."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from .control_plane import MODAL_VERSION
from .control_plane.wire import Service, servicer


def test_modal_is_the_version_the_control_plane_was_written_for() -> None:
    """The tests need one exact modal; users may have any in the plugin's range."""
    assert version("modal") == MODAL_VERSION, (
        f"the control plane speaks the protocol of modal {MODAL_VERSION}: `pip install modal=={MODAL_VERSION}`, "
        "or run tests/modal with the new one, add the handlers it asks for, and raise MODAL_VERSION"
    )


def test_a_handler_that_modal_no_longer_knows_is_named() -> None:
    """A renamed or removed RPC is an error that names it and what to do."""

    class Stale(Service):
        def FunctionGetSomethingOld(self, request: object) -> None: ...

    with pytest.raises(RuntimeError, match=r"has no FunctionGetSomethingOld any more.*adapt the handlers"):
        servicer(Stale)

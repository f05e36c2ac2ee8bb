"""A fork waits for what computes, and a child frees nothing whose threads it does not have."""

import gc
import os
import threading
import time

import pytest

from rerankit import forking
from rerankit.forking import computing, never_free_in_children

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def exit_code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_the_end_of_a_computation_and_a_moment_more() -> None:
    """What runs when the fork is asked for has ended in the child, and its threads had time to fall asleep."""
    started, ended = threading.Event(), []

    def work() -> None:
        with computing():
            started.set()
            time.sleep(0.2)
            ended.append(time.monotonic())

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    child = os.fork()
    if not child:
        os._exit(0 if ended and time.monotonic() - ended[0] >= forking._SETTLE_SECONDS else 1)
    assert exit_code_of(child) == 0
    worker.join()


def test_both_sides_compute_after_a_fork() -> None:
    child = os.fork()
    if not child:
        with computing():
            os._exit(0)
    with computing():
        assert exit_code_of(child) == 0


class Engine:
    """Writes when it is freed."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def __del__(self) -> None:
        os.write(self.pipe, b"x")


@pytest.mark.parametrize("kept", [False, True])
def test_what_is_never_freed_in_a_child_is_freed_in_the_parent(kept: bool) -> None:
    """Unkept things are freed on both sides: the test would see it."""
    reader, writer = os.pipe()
    engine = Engine(writer)
    if kept:
        never_free_in_children(engine)
    child = os.fork()
    del engine
    gc.collect()
    if not child:
        os._exit(0)
    assert exit_code_of(child) == 0
    assert os.read(reader, 9) == (b"x" if kept else b"xx")
    os.close(reader)
    os.close(writer)

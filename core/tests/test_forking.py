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


def test_backends_compute_side_by_side() -> None:
    """A fallback does not wait until the backend that it stands in for is done."""
    both_inside = threading.Barrier(2)

    def work() -> None:
        with computing():
            both_inside.wait(30)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not both_inside.broken


def test_a_fork_gets_its_turn_among_endless_computations() -> None:
    """Some thread always computes, until the fork has come; afterwards they go on."""
    forked = threading.Event()
    begun, after = threading.Semaphore(0), []

    def work(delay: float) -> None:
        time.sleep(delay)
        while not forked.is_set():
            with computing():
                begun.release()
                time.sleep(0.02)
        with computing():
            after.append(delay)

    workers = [threading.Thread(target=work, args=(delay,), daemon=True) for delay in (0.0, 0.005, 0.01, 0.015)]
    for worker in workers:
        worker.start()
    for _ in range(8):
        begun.acquire()
    child = os.fork()
    if not child:
        with computing():
            os._exit(0)
    forked.set()
    assert exit_code_of(child) == 0
    for worker in workers:
        worker.join()
    assert len(after) == 4


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

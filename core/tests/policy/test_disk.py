"""Scores kept on disk: bounded, shared by processes, and never the reason for a wrong or a missing answer."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from rerankit.errors import InvalidArgumentError
from rerankit.policy.cache import CacheReranker, Entry, ScoreCache, Source
from rerankit.policy.disk import MIN_BYTES, DiskScores
from rerankit.scoring import ScoreKind
from rerankit.testing import FakeReranker

SOURCE = Source("fake", "model", "1", ScoreKind.PROBABILITY)


def entries(count: int, start: int = 0) -> dict[bytes, Entry]:
    return {n.to_bytes(20, "big"): Entry(n / 7, 0.5, SOURCE) for n in range(start, start + count)}


@pytest.fixture
def disk(tmp_path: Path) -> DiskScores:
    return DiskScores(tmp_path / "kept" / "scores.db", MIN_BYTES)


def test_what_is_written_is_read_back_exactly(disk: DiskScores) -> None:
    """Scores are floats of 64 bits; what is not known stays unknown."""
    written = entries(1000) | {b"plain": Entry(0.1 + 0.2, None, Source(None, None, None, None))}
    disk.write(written)
    assert disk.read([*written, b"never seen"]) == written
    assert len(disk) == 1001


def test_the_file_stays_within_its_bound_and_the_newest_entries_are_kept(disk: DiskScores) -> None:
    """Twenty times more entries than fit."""
    for start in range(0, 60_000, 1000):
        disk.write(entries(1000, start))
        assert disk.path.stat().st_size <= disk.max_bytes
    newest = entries(1000, 59_000)
    assert disk.read(newest) == newest
    assert disk.read(entries(1000)) == {}


def test_an_entry_that_was_changed_is_dropped(disk: DiskScores, caplog: pytest.LogCaptureFixture) -> None:
    """A flipped digit is not somebody's score."""
    disk.write(entries(3))
    with sqlite3.connect(disk.path) as database:
        database.execute("UPDATE scores SET value = replace(value, '0.14', '0.94')")
    database.close()
    with caplog.at_level(logging.WARNING):
        assert disk.read(entries(3)) == {key: entry for key, entry in entries(3).items() if entry.score != 1 / 7}
    assert "dropped 1 damaged" in caplog.text
    assert len(disk) == 2


@pytest.mark.parametrize(
    "spoil", [lambda data: b"x" * len(data), lambda data: data[: len(data) // 2], lambda data: b""]
)
def test_a_damaged_file_is_begun_anew(disk: DiskScores, spoil: object, caplog: pytest.LogCaptureFixture) -> None:
    """Overwritten, cut or emptied: reads as nothing known or as what is left of it, and takes new entries."""
    disk.write(entries(2000))
    disk.path.write_bytes(spoil(disk.path.read_bytes()))  # type: ignore[operator]
    written = entries(2000)
    assert disk.read(written).items() <= written.items()
    disk.write(entries(2000))
    disk.write(entries(2000))
    assert disk.read(written) == written


def test_a_locked_file_costs_time_but_no_answer(
    disk: DiskScores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process holds the lock: nothing is written, nothing raised, and later all is well."""
    monkeypatch.setattr("rerankit.policy.disk._LOCK_SECONDS", 0.05)
    disk.write(entries(1))
    other = sqlite3.connect(disk.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    disk.write(entries(1, 5))
    other.rollback()
    other.close()
    assert "left alone for now" in caplog.text
    assert disk.read(entries(1, 5)) == {}
    disk.write(entries(1, 5))
    assert len(disk.read(entries(1, 5))) == 1


def _write(path: Path, start: int) -> None:
    disk = DiskScores(path, MIN_BYTES)
    for first in range(start, start + 400, 20):
        disk.write(entries(20, first))
        assert disk.read(entries(20, first)) == entries(20, first)


def test_several_processes_share_one_file(disk: DiskScores) -> None:
    """Nothing is lost, and nothing is damaged."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(disk.path, 1000 * n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    everything = entries(400) | entries(400, 1000) | entries(400, 2000)
    assert disk.read(everything) == everything


def test_scores_outlive_the_process_that_computed_them(disk: DiskScores) -> None:
    """A new cache on the same file asks the backend for nothing."""
    pairs = ["one", "two", "three"]
    first = FakeReranker(fingerprint="model@1")
    scores = CacheReranker(first, ScoreCache(1 << 20, disk)).get_scores("one of three", pairs)
    second = FakeReranker(fingerprint="model@1")
    cache = ScoreCache(0, disk)
    ranking = CacheReranker(second, cache).rerank("one of three", pairs)
    assert sorted(ranked.score for ranked in ranking if ranked.score is not None) == sorted(scores)
    assert ranking.model == "fake"
    assert second.requests == []
    assert (cache.hits, cache.misses) == (3, 0)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_locked_file_does_not_stop_the_loop_of_asynchronous_callers(disk: DiskScores, cancelled: bool) -> None:
    """The loop goes on and ends the lock, so the score is written; that its caller was cancelled loses nothing."""
    scoring = threading.Event()

    def score(query: str, document: str) -> float:
        scoring.set()
        return 0.5

    cache = ScoreCache(1 << 20, disk)
    reranker = CacheReranker(FakeReranker(score, fingerprint="model@1"), cache)

    async def ask_while_locked() -> None:
        other = sqlite3.connect(disk.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(reranker.aget_scores("q", ["d"]))
        assert await asyncio.to_thread(scoring.wait, 10)
        await asyncio.sleep(0.05)  # by now it wants to write
        if cancelled:
            task.cancel()
        other.rollback()
        other.close()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.get_running_loop().shutdown_default_executor()

    disk.write(entries(1))
    asyncio.run(ask_while_locked())
    assert len(disk) == 2
    backend = FakeReranker(fingerprint="model@1")
    CacheReranker(backend, cache).get_scores("q", ["d"])
    assert backend.requests == []


def test_another_fingerprint_finds_nothing(disk: DiskScores) -> None:
    """A score belongs to the model that gave it."""
    CacheReranker(FakeReranker(fingerprint="model@1"), ScoreCache(0, disk)).get_scores("a", ["a"])
    other = FakeReranker(fingerprint="model@2")
    CacheReranker(other, ScoreCache(0, disk)).get_scores("a", ["a"])
    assert len(other.requests) == 1


def test_a_place_that_cannot_hold_it_is_refused(tmp_path: Path) -> None:
    """A folder where the file should be, a file where the folder should be, too few bytes."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match="cannot be kept"):
        DiskScores(tmp_path / "file" / "scores.db", MIN_BYTES)
    with pytest.raises(InvalidArgumentError, match="too few"):
        DiskScores(tmp_path / "scores.db", 10)

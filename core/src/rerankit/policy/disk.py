"""Scores of pairs seen before, on disk: kept over restarts and shared by the processes of a machine.

SQLite by way of the standard library: transactions and locks between processes are what it is good at, and one
statement fetches all pairs of a call. Values are plain JSON, so that nothing read from the file is ever executed.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from rerankit.errors import InvalidArgumentError
from rerankit.policy.cache import Entry, Found, Source
from rerankit.scoring import ScoreKind

__all__ = ["MIN_BYTES", "DiskScores"]

MIN_BYTES = 1 << 20
"""Less than this is mostly SQLite's own pages."""

_CHUNK = 200
"""Entries in one statement: SQLite takes at least 999, and so many fit into the room that is kept free."""

_LOCK_SECONDS = 5.0
_PAGE = 4096

T = TypeVar("T")

_log = logging.getLogger(__name__)


class DiskScores:
    """Entries by key in one file. Trouble with the file costs time, never an answer: it reads as nothing known.

    Every use opens the file anew (about 1 ms), so it may be used from any thread and process, before and after a
    fork. An entry whose checksum is wrong is dropped; a file that is no database any more is begun anew. Writes do
    not wait for the disk: a killed process loses nothing it has written, a power cut may.

    Args:
        path: the file; its folder is made.
        max_bytes: size of the file, at least ``MIN_BYTES``; the oldest entries make room for new ones.

    Raises:
        InvalidArgumentError: there can be no such file.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        if max_bytes < MIN_BYTES:
            raise InvalidArgumentError(
                f"{max_bytes} bytes are too few for scores on disk",
                remedy=f"allow at least {MIN_BYTES} bytes",
                value=max_bytes,
            )
        self.path = Path(path)
        self.max_bytes = max_bytes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise InvalidArgumentError(
                f"scores cannot be kept in {self.path}: {error.strerror}",
                remedy="name a file in a folder that can be written",
                value=str(self.path),
            ) from error

    def read(self, keys: Iterable[bytes]) -> Found:
        """The entries there are of ``keys``."""
        found: Found = {}
        spoilt: list[bytes] = []
        try:
            with closing(self._open()) as database:
                for chunk in _chunks(list(keys)):
                    marks = ",".join("?" * len(chunk))
                    rows = database.execute(f"SELECT key, value, crc FROM scores WHERE key IN ({marks})", chunk)
                    for key, value, crc in rows:
                        entry = _decoded(key, value, crc)
                        if entry is None:
                            spoilt.append(key)
                        else:
                            found[key] = entry
                if spoilt:
                    _log.warning("dropped %d damaged entries of %s", len(spoilt), self.path)
                    database.executemany("DELETE FROM scores WHERE key = ?", [(key,) for key in spoilt])
                    database.commit()
        except sqlite3.Error as error:
            self._troubled(error)
        return found

    def write(self, found: Found) -> None:
        """Keep ``found``; what was there under the same keys is replaced."""
        rows = [(key, value, _checksum(key, value)) for key, value in ((k, _encoded(e)) for k, e in found.items())]
        try:
            with closing(self._open()) as database:
                for chunk in _chunks(rows):
                    database.execute("BEGIN IMMEDIATE")
                    self._make_room(database)
                    database.executemany("INSERT OR REPLACE INTO scores (key, value, crc) VALUES (?, ?, ?)", chunk)
                    database.commit()
        except sqlite3.Error as error:
            self._troubled(error)

    def __len__(self) -> int:
        try:
            with closing(self._open()) as database:
                count: int = database.execute("SELECT count(*) FROM scores").fetchone()[0]
                return count
        except sqlite3.Error as error:
            self._troubled(error)
            return 0

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = OFF")
            database.execute(f"PRAGMA max_page_count = {self.max_bytes // _PAGE}")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone():
                database.execute(f"PRAGMA page_size = {_PAGE}")
                # Readers then do not wait for the writer.
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS scores (age INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
                    " value TEXT NOT NULL, crc INTEGER NOT NULL)"
                )
        except BaseException:
            database.close()
            raise
        return database

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Let the oldest quarter go before the file is full: SQLite refuses what does not fit."""
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        free = database.execute("PRAGMA freelist_count").fetchone()[0]
        if (pages - free) * _PAGE > 0.75 * self.max_bytes:
            count = database.execute("SELECT count(*) FROM scores").fetchone()[0]
            database.execute(
                "DELETE FROM scores WHERE age <= (SELECT age FROM scores ORDER BY age LIMIT 1 OFFSET ?)", (count // 4,)
            )

    def _troubled(self, error: sqlite3.Error) -> None:
        if type(error) is not sqlite3.DatabaseError:  # locked for long, or the disk is full: the file may be sound
            _log.warning("scores in %s are left alone for now: %s", self.path, error)
            return
        _log.warning("%s is damaged and begun anew: %s", self.path, error)
        with suppress(OSError):
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _encoded(entry: Entry) -> str:
    return json.dumps([entry.score, entry.coverage, *entry.source], separators=(",", ":"))


def _decoded(key: object, value: object, crc: object) -> Entry | None:
    if not isinstance(key, bytes) or not isinstance(value, str) or crc != _checksum(key, value):
        return None
    try:
        score, coverage, served_by, model, revision, kind = json.loads(value)
        return Entry(score, coverage, Source(served_by, model, revision, None if kind is None else ScoreKind(kind)))
    except ValueError:  # written by another version of rerankit
        return None


def _checksum(key: bytes, value: str) -> int:
    return zlib.crc32(value.encode(), zlib.crc32(key))

"""The file of the score cache: an SQLite database that may be in any state, and never costs a verdict.

What is read is checked row by row. A file that is damaged is renamed, its sound rows are taken over into a
new one, and the others are computed anew. A file that cannot be written or used is left alone, and scores are
kept for the run alone. What happened is in `CacheFile.notes`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from sqsd_lint.common.file_system import network_file_system
from sqsd_lint.scoring.cache_row import CacheRow

_COLUMNS = (
    ("scorer", "BLOB", 1),
    ("fingerprint", "BLOB", 1),
    ("danger", "REAL", 1),
    ("safety", "REAL", 1),
    ("loss", "REAL", 0),
    ("drift", "REAL", 0),
    ("harm", "REAL", 0),
    ("tokens", "INTEGER", 1),
    ("truncated", "TEXT", 1),
    ("response_lost", "INTEGER", 1),
    ("checksum", "BLOB", 1),
)
# The version of the schema is part of the table's name, so that tables of several versions live side by side.
_TABLE = "scores_3"
# As _TABLE, but without checksums: its rows are moved over once.
_OLD_TABLE = "scores_2"
_NAMES = ", ".join(name for name, _, _ in _COLUMNS)
_VALUES = ", ".join(name for name, _, _ in _COLUMNS[:-1])
_OLD_VALUES = _VALUES.replace("harm", "NULL")  # what the older table has of them
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (
    {", ".join(f"{name} {kind}{' NOT NULL' * required}" for name, kind, required in _COLUMNS)},
    PRIMARY KEY (scorer, fingerprint)
) WITHOUT ROWID
"""
_INSERT = f"INSERT OR REPLACE INTO {_TABLE} ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_LOOKUP = 500

# Seconds that another process may hold the file before this run does without it.
WAIT = 10.0
# Names of the files that SQLite keeps beside a database, behind its own name.
_BESIDE = ("-wal", "-shm", "-journal")
_SMALLEST_ROW = 50  # bytes: no file holds more rows than its size allows, however its pages are linked

# Errors of SQLite after which a file is as sound as before, by words of their messages: their codes are
# known to Python 3.11 and later only.
_OTHER_ERRORS = ("locked", "readonly", "unable to open", "disk i/o", "is full", "locking protocol", "denied")
_UNWRITABLE = ("readonly", "unable to open")


class DamagedCacheError(Exception):
    """The file is a database, and what it holds is not what was written."""


# ValueError and MemoryError: texts and lengths that make no sense reach Python as they stand in the file.
_ERRORS = (sqlite3.Error, DamagedCacheError, OSError, ValueError, MemoryError)


class CacheFile:
    """The rows of a score cache, checked.

    Args:
        path: the database; None keeps rows for this run alone.

    Attributes:
        writable: whether rows are kept beyond this run.
    """

    def __init__(self, path: Path | None) -> None:
        self.writable = path is not None
        self._path = path
        self._notes: list[str] = []
        self._disk: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._memory: sqlite3.Connection | None = None  # what could not be written
        self._renewed = False
        self._checked = False  # whether the pages are known to hang together
        if path is not None:
            self._note_network(path)
            try:
                self._disk = self._connect(path)
            except _ERRORS as error:
                self._recover(error)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a report has to know about the file."""
        return tuple(self._notes)

    @property
    def usable(self) -> bool:
        """Whether what the file holds can be read."""
        return self._disk is not None

    def find(self, scorer: bytes, fingerprints: Sequence[bytes]) -> dict[bytes, CacheRow]:
        """Return the rows of a scorer that are known among `fingerprints`, by fingerprint."""
        while True:
            try:
                return self._find(scorer, fingerprints)
            except _ERRORS as error:
                if self._disk is None:
                    raise  # nothing of the file is in use any more
                self._recover(error)

    def add(self, rows: Iterable[CacheRow]) -> None:
        """Store rows and commit, in place of those with the same keys; rows with a fault are left out."""
        values = [(*row, row.checksum()) for row in rows if not row.fault()]
        while self.writable and self._disk is not None and values:
            try:
                self._check_pages(self._disk)
                with self._disk:
                    self._disk.executemany(_INSERT, values)
                return
            except _ERRORS as error:
                if _is_damage(error):
                    self._recover(error)
                    continue
                # What it holds can still be read.
                self.writable = False
                self._note(f"scores could not be written to the cache: {self._path}: {error}")
        if values:
            memory = self._in_memory()
            with memory:
                memory.executemany(_INSERT, values)

    def rows(self) -> Iterator[CacheRow]:
        """Yield every row of the file, sorted by scorer and fingerprint; a damaged file is mended before.

        Not to be mixed with `add`.
        """
        while self._disk is not None:
            try:
                for row in self._read_all(self._disk):
                    if isinstance(row, str):
                        raise DamagedCacheError(row)
                break
            except _ERRORS as error:
                self._recover(error)
        if self._disk is not None:
            yield from (row for row in self._read_all(self._disk) if isinstance(row, CacheRow))

    def close(self) -> None:
        """Close the database; scores that were kept for this run alone are gone."""
        for database in (self._disk, self._memory):
            if database is not None:
                database.close()
        self._disk = self._memory = None

    def _find(self, scorer: bytes, fingerprints: Sequence[bytes]) -> dict[bytes, CacheRow]:
        found: dict[bytes, CacheRow] = {}
        for database in (self._disk, self._memory):
            if database is None:
                continue
            for at in range(0, len(fingerprints), _LOOKUP):
                keys = fingerprints[at : at + _LOOKUP]
                marks = ",".join("?" * len(keys))
                query = f"SELECT {_NAMES} FROM {_TABLE} WHERE scorer = ? AND fingerprint IN ({marks})"
                for *values, checksum in database.execute(query, (scorer, *keys)):
                    row = CacheRow(*values)
                    if fault := row.fault(checksum):
                        if database is self._disk and self._may_renew():
                            raise DamagedCacheError(fault)
                        self._note(f"damaged scores in the cache are not used: {self._path}: {fault}")
                        continue
                    found[row.fingerprint] = row
        return found

    @staticmethod
    def _read_all(database: sqlite3.Connection) -> Iterator[CacheRow | str]:
        query = f"SELECT {_NAMES} FROM {_TABLE} ORDER BY scorer, fingerprint"
        for *values, checksum in database.execute(query):
            row = CacheRow(*values)
            yield row.fault(checksum) or row

    def _check_pages(self, database: sqlite3.Connection) -> None:
        """Check once, before the first write, that rows stand where a search looks for them.

        A row of a page that was written over may be sound and out of order, so that what is added beside it
        is not found again. Only a look at all pages tells, which takes 0.3 s for a million rows: little
        beside scoring, and too much for a run that only reads.
        """
        if not self._checked:
            found = [text for (text,) in database.execute("PRAGMA integrity_check(1)")]
            if found != ["ok"]:
                raise DamagedCacheError(" ".join(found))
            self._checked = True

    def _in_memory(self) -> sqlite3.Connection:
        if self._memory is None:
            self._memory = sqlite3.connect(":memory:")
            self._memory.execute(_SCHEMA)
        return self._memory

    def _connect(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._inode = path.stat().st_ino
        except FileNotFoundError:
            self._inode = None
        database = sqlite3.connect(path, timeout=WAIT)
        try:
            _prepare(database, journal="DELETE" if network_file_system(path) else "WAL")
        except sqlite3.OperationalError as error:
            database.close()
            if not (self._inode and any(word in str(error) for word in _UNWRITABLE)):
                raise
            # Without a lock: where nothing can be written, none can be taken. Rows are checked all the same.
            database = open_existing(path, immutable=True)
            _check_columns(database)
            self.writable = False
            self._note(f"the score cache is read-only, so that new scores are not kept: {path}")
        except BaseException:
            database.close()
            raise
        if self._inode is None:
            self._inode = path.stat().st_ino
        return database

    def _recover(self, error: Exception) -> None:
        """Go on after an error: with a new file if the old one is damaged, else, or then, without a file."""
        if self._disk is not None:
            with suppress(sqlite3.Error):
                self._disk.close()
        self._disk, self._checked = None, False
        if self._path is not None and _is_damage(error) and self._may_renew():
            self._renewed = True
            try:
                self._renew(self._path, error)
                return
            except _ERRORS as second:
                error = second
        self.writable = False
        self._note(f"the score cache cannot be used: {self._path}: {error}")

    def _may_renew(self) -> bool:
        """Return whether a damaged file may be set aside: once a run, and never one that is read-only."""
        path = self._path
        if path is None or self._renewed or not self.writable:
            return False
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)

    def _renew(self, path: Path, reason: Exception) -> None:
        """Set the file aside and take over into a new one what of it is sound."""
        if path.exists() and self._inode is not None and path.stat().st_ino != self._inode:
            self._disk = self._connect(path)  # another run has done so
            return
        aside = path.with_suffix(".damaged")
        # The log goes first, for a new database must not find it; and none of an older one may join this one.
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(f"{aside}{suffix}")
        for suffix in (*_BESIDE, ""):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        self._disk = self._connect(path)
        batches = (row for row in read_database(aside) if isinstance(row, CacheRow))
        while batch := list(islice(batches, _LOOKUP)):
            self.add(batch)
        ((sound,),) = self._disk.execute(f"SELECT count(*) FROM {_TABLE}") if self._disk else ((0,),)
        self._note(
            f"the score cache was damaged ({reason}) and has been set aside: {aside}; "
            f"{sound:,} of its scores {'was' if sound == 1 else 'were'} sound, others are computed anew"
        )

    def _note_network(self, path: Path) -> None:
        if kind := network_file_system(path):
            self._note(
                f"the score cache lies on a network file system ({kind}), where one machine at a time may "
                f"use it: {path}; name a local folder with --cache-dir, and move scores with "
                "`sqsd-lint cache export` and `cache merge`"
            )

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def read_database(path: Path) -> Iterator[CacheRow | str]:
    """Yield every row of a cache's file as far as it can be read, and why where a row must not be used.

    Rows behind a damaged page are read from the end; a row may come twice.
    """
    for table, names in ((_TABLE, _NAMES), (_OLD_TABLE, f"{_OLD_VALUES}, NULL")):
        for order in ("", " ORDER BY scorer DESC, fingerprint DESC"):
            try:
                yield from _read_table(path, table, names, order)
                break
            except _ERRORS as error:
                yield f"it cannot be read to its end: {error}"


def _read_table(path: Path, table: str, names: str, order: str) -> Iterator[CacheRow | str]:
    database = open_existing(path)
    try:
        there = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        rows = database.execute(f"SELECT {names} FROM {table}{order}") if there else ()
        for *values, checksum in islice(rows, path.stat().st_size // _SMALLEST_ROW):
            row = CacheRow(*values)
            without = table == _TABLE and checksum is None
            yield "it has no checksum" if without else row.fault(checksum) or row
    finally:
        with suppress(sqlite3.Error):
            database.close()


def open_existing(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a database that is there to read it; nothing is created, and nothing of it is trusted.

    Args:
        immutable: take no lock and read no log.
    """
    mode = "immutable=1" if immutable else "mode=ro"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=WAIT)
    database.text_factory = _text
    return database


def _prepare(database: sqlite3.Connection, journal: str) -> None:
    """Make the table if it is not there, and fill it with the rows of the old one.

    Raises:
        DamagedCacheError: it is not the table that was made.
    """
    database.text_factory = _text
    database.execute("PRAGMA trusted_schema=OFF")
    database.execute(f"PRAGMA journal_mode={journal}")
    database.execute("PRAGMA synchronous=NORMAL")
    if _tables(database) != {_TABLE}:
        database.create_function("checksum_of", len(_COLUMNS) - 1, _checksum_of)
        database.execute("BEGIN IMMEDIATE")
        with database:
            database.execute(_SCHEMA)
            if _OLD_TABLE in _tables(database):
                database.execute(
                    f"INSERT OR IGNORE INTO {_TABLE} ({_NAMES}) "
                    f"SELECT {_OLD_VALUES}, checksum_of({_OLD_VALUES}) "
                    f"FROM {_OLD_TABLE} WHERE checksum_of({_OLD_VALUES}) IS NOT NULL"
                )
                database.execute(f"DROP TABLE {_OLD_TABLE}")
    _check_columns(database)


def _tables(database: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE name IN (?, ?)"
    return {name for (name,) in database.execute(query, (_TABLE, _OLD_TABLE))}


def _check_columns(database: sqlite3.Connection) -> None:
    found = [
        (name, kind, required)
        for _, name, kind, required, *_ in database.execute(f"PRAGMA table_info({_TABLE})")
    ]
    if found != list(_COLUMNS):
        names = ", ".join(str(name) for name, _, _ in found) or "none"
        raise DamagedCacheError(f"the columns of {_TABLE} are {names}")


def _checksum_of(*values: object) -> bytes | None:
    """Return the checksum of a row of the old table; None for one that must not be used."""
    row = CacheRow(*values)  # type: ignore[arg-type]  # whatever the file holds
    return None if row.fault() else row.checksum()


def _text(data: bytes) -> str:
    # A text that is no UTF-8 is a damaged one, which the row's check finds.
    return data.decode("utf-8", "replace")


def _is_damage(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return not any(word in str(error).lower() for word in _OTHER_ERRORS)
    return not isinstance(error, OSError)

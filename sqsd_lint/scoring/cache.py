"""Scores on disk: a row is scored once. SQLite, keyed by fingerprint and by all that can change a score.

Every batch is committed as soon as it is scored, so a killed run loses nothing that it had computed.
This module imports no torch: a run that the cache answers must start at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqsd_lint.types import Score

# Raise it whenever the same row, bundle and settings would give another score than before.
SCORER_VERSION = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores_2 (
    scorer BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    danger REAL NOT NULL,
    safety REAL NOT NULL,
    loss REAL,
    drift REAL,
    tokens INTEGER NOT NULL,
    truncated TEXT NOT NULL,
    response_lost INTEGER NOT NULL,
    PRIMARY KEY (scorer, fingerprint)
) WITHOUT ROWID
"""
_LOOKUP = 500


def scorer_key(settings: Mapping[str, Any]) -> bytes:
    """128-bit key of everything besides the row that a score depends on (bundle digest, dtype, ...)."""
    text = json.dumps({"scorer_version": SCORER_VERSION, **settings}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class ScoreCache:
    """Scores of one scorer (see `scorer_key`) in the database at `path`.

    A database that cannot be opened, or is damaged, costs time but never a verdict: the cache then
    keeps scores for this run alone, and `note` says why.
    """

    def __init__(self, path: Path | None, scorer: bytes, *, exact: bool = False) -> None:
        self.note = ""
        self._scorer = scorer
        self._exact = exact
        self._db = self._open(path)

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            for attempt in (1, 2):
                try:
                    return self._connect(path)
                except sqlite3.DatabaseError as error:
                    damaged = not isinstance(error, sqlite3.OperationalError)
                    if damaged and attempt == 1:
                        os.replace(path, path.with_suffix(".damaged"))
                        self.note = f"the score cache was damaged and has been set aside: {path}"
                        continue
                    self.note = f"the score cache cannot be used: {path}: {error}"
                except OSError as error:
                    self.note = f"the score cache cannot be used: {path}: {error}"
                break
        return self._connect(None)

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path or ":memory:", timeout=30)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(_SCHEMA)
            db.commit()
        except sqlite3.Error:
            db.close()
            raise
        return db

    def get(self, fingerprints: Iterable[str]) -> dict[str, Score]:
        """The scores that are known among `fingerprints`."""
        found: dict[str, Score] = {}
        wanted = list(dict.fromkeys(fingerprints))
        for at in range(0, len(wanted), _LOOKUP):
            keys = [bytes.fromhex(f) for f in wanted[at : at + _LOOKUP]]
            marks = ",".join("?" * len(keys))
            query = (
                "SELECT fingerprint, danger, safety, loss, drift, tokens, truncated, response_lost"
                f" FROM scores_2 WHERE scorer = ? AND fingerprint IN ({marks})"
            )
            for key, danger, safety, loss, drift, tokens, truncated, lost in self._db.execute(
                query, (self._scorer, *keys)
            ):
                fingerprint = bytes(key).hex()
                found[fingerprint] = Score(
                    fingerprint,
                    danger,
                    safety,
                    danger - safety,
                    tokens,
                    truncated,
                    lost,
                    _or_nan(loss),
                    self._exact,
                    _or_nan(drift),
                )
        return found

    def put(self, scores: Iterable[Score]) -> None:
        """Store finite scores and commit. A full disk or a locked database is noted, not raised."""
        rows = [
            (
                self._scorer,
                bytes.fromhex(s.fingerprint),
                s.danger,
                s.safety,
                s.loss,
                s.drift,
                s.tokens,
                s.truncated,
                s.response_lost,
            )
            for s in scores
            if math.isfinite(s.danger) and math.isfinite(s.safety)
        ]
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO scores_2 VALUES (?,?,?,?,?,?,?,?,?)", rows)
        except sqlite3.Error as error:
            self.note = f"scores could not be written to the cache: {error}"

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _or_nan(value: float | None) -> float:
    # SQLite has no NaN and keeps NULL in its place.
    return float("nan") if value is None else value

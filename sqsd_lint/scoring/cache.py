"""Scores on disk: a row is scored once. SQLite, keyed by fingerprint and by all that can change a score.

Every batch is committed as soon as it is scored, so a killed run loses nothing that it had computed.
This module imports no torch: a run that the cache answers must start at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

from sqsd_lint.scoring.cache_file import CacheFile
from sqsd_lint.scoring.cache_row import CacheRow
from sqsd_lint.types import Score

# Raise it whenever the same row, bundle and settings would give another score than before.
SCORER_VERSION = 3

_FILE = "scores.sqlite"


def cache_path(folder: Path) -> Path:
    """Return the file of the scores in a cache folder."""
    return folder / _FILE


def scorer_key(settings: Mapping[str, Any]) -> bytes:
    """Return the 128-bit key of everything besides the row that a score depends on (bundle digest, ...)."""
    text = json.dumps({"scorer_version": SCORER_VERSION, **settings}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class ScoreCache:
    """Scores of one scorer (see `scorer_key`) in the database at `path`.

    A database that is damaged, locked or cannot be written costs time but never a verdict (`CacheFile`).

    Args:
        path: None keeps scores for this run alone.
        exact: whether the scorer computes in exact mode.
    """

    def __init__(self, path: Path | None, scorer: bytes, *, exact: bool = False) -> None:
        self._file = CacheFile(path)
        self._scorer = scorer
        self._exact = exact

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a report has to know about the cache."""
        return self._file.notes

    def get(self, fingerprints: Iterable[str]) -> dict[str, Score]:
        """Return the scores that are known among `fingerprints`."""
        keys = [bytes.fromhex(fingerprint) for fingerprint in dict.fromkeys(fingerprints)]
        found = self._file.find(self._scorer, keys)
        return {key.hex(): row.score(exact=self._exact) for key, row in found.items()}

    def put(self, scores: Iterable[Score]) -> None:
        """Store finite scores and commit. A full disk or a locked database is noted, not raised."""
        self._file.add(CacheRow.of(self._scorer, score) for score in scores)

    def of_scorer(self, scorer: bytes) -> ScoreCache:
        """Return the scores of another scorer in the same database, for as long as this one is open."""
        other = copy(self)
        other._scorer = scorer
        return other

    def close(self) -> None:
        """Close the database."""
        self._file.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

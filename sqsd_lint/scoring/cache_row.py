"""One row of the score cache: what it holds, its checksum, and what is wrong with it if it was damaged.

A cache lies on a disk for years, and a flipped bit in a score is a score like any other. So each row has a
checksum over its keys and values; a row that it does not fit is never used.
"""

from __future__ import annotations

import re
import struct
from dataclasses import fields
from hashlib import blake2b
from math import isfinite, isnan
from typing import NamedTuple, get_args

from sqsd_lint.types import AnswerPart, AnswerWindow, Score, Truncated

KEY_BYTES = 16
_LARGEST = 2**31
_NAN = float("nan")
_PERSON = b"sqsd-lint/cache3"
_PACKED = struct.Struct("<16s16sdddddqq")
_TRUNCATED = frozenset(get_args(Truncated))
# What was cut off and, of an answer longer than a sequence, the window: "window 2/5 640-1408/2728"; of a part
# the trained turn as well: "part 2/5 48-112/300 turn 1".
_PLACE = r"([0-9]{1,9})/([0-9]{1,9}) ([0-9]{1,9})-([0-9]{1,9})/([0-9]{1,9})"
_WINDOW = re.compile(rf"(response )?(?:window {_PLACE}|part {_PLACE} turn ([1-9][0-9]{{0,8}}))\Z")


class CacheRow(NamedTuple):
    """A score as the cache keeps it, in the order of the table's columns.

    Attributes:
        scorer: 16 bytes, everything besides the row that the score depends on (`cache.scorer_key`).
        fingerprint: 16 bytes, of the training content.
        danger, safety: the projections; both finite.
        loss, drift, harm: None where they are not a number.
        tokens, response_lost: as in `Score`.
        truncated: as in `Score`, and behind it the window or part that the score is about, if it is of one.
    """

    scorer: bytes
    fingerprint: bytes
    danger: float
    safety: float
    loss: float | None
    drift: float | None
    harm: float | None
    tokens: int
    truncated: str
    response_lost: int

    @classmethod
    def of(cls, scorer: bytes, score: Score) -> CacheRow:
        """Return the row of a score."""
        return cls(
            scorer,
            bytes.fromhex(score.fingerprint),
            score.danger,
            score.safety,
            _or_none(score.loss),
            _or_none(score.drift),
            None if score.harm is None else _or_none(score.harm),
            score.tokens,
            _cut(score),
            score.response_lost,
        )

    def score(self, *, exact: bool) -> Score:
        """Return the score of a row.

        Args:
            exact: whether its scorer computes in exact mode.
        """
        window = _WINDOW.match(self.truncated)
        return Score(
            self.fingerprint.hex(),
            self.danger,
            self.safety,
            self.danger - self.safety,
            self.tokens,
            (window[1] or "").strip() if window else self.truncated,  # type: ignore[arg-type]  # see `fault`
            self.response_lost,
            _NAN if self.loss is None else self.loss,
            exact,
            _NAN if self.drift is None else self.drift,
            self.harm,
            window=_window(window) if window else None,
        )

    def checksum(self) -> bytes:
        """Return 8 bytes of BLAKE2b over keys and values.

        Raises:
            struct.error, TypeError, AttributeError: a value has the wrong type; `fault` finds that before.
        """
        scorer, fingerprint, danger, safety, loss, drift, harm, tokens, truncated, response_lost = self
        packed = _PACKED.pack(
            scorer,
            fingerprint,
            danger + 0.0,  # SQLite keeps -0.0 as 0.0
            safety + 0.0,
            _NAN if loss is None else loss + 0.0,
            _NAN if drift is None else drift + 0.0,
            _NAN if harm is None else harm + 0.0,
            tokens,
            response_lost,
        )
        return blake2b(packed + truncated.encode(), digest_size=8, person=_PERSON).digest()

    def fault(self, checksum: bytes | None = None) -> str:
        """Return why a row must not be used, "" if it may.

        Args:
            checksum: that was stored with the row; None where there is none yet.
        """
        scorer, fingerprint, danger, safety, loss, drift, harm, tokens, truncated, response_lost = self
        if not (_is_key(scorer) and _is_key(fingerprint)):
            return f"a key is not {KEY_BYTES} bytes"
        if not _is_number(danger):
            return "its danger is not a finite number"
        if not _is_number(safety):
            return "its safety is not a finite number"
        if not isfinite(danger - safety):
            return "danger less safety is not a finite number"
        if not (loss is None or _is_number(loss)):
            return "its loss is neither a finite number nor unknown"
        if not (drift is None or _is_number(drift)):
            return "its drift is neither a finite number nor unknown"
        if not (harm is None or _is_number(harm)):
            return "its harm is neither a finite number nor unknown"
        if not _is_count(tokens):
            return "its tokens is not a count"
        if not _is_count(response_lost):
            return "its response_lost is not a count"
        if type(truncated) is not str or not (truncated in _TRUNCATED or _WINDOW.match(truncated)):
            return "it is not known what of it was cut off"
        if checksum is not None and checksum != self.checksum():
            return "its checksum does not fit its values"
        return ""


def _cut(score: Score) -> str:
    """Return what of a row was cut off, and the window that was scored, as one text."""
    if score.window is None:
        return score.truncated
    w, turn = score.window, f" turn {score.part.turn}" if score.part else ""
    return f"{score.truncated} {w.name} {w.number}/{w.count} {w.start}-{w.end}/{w.tokens}{turn}".strip()


def _window(found: re.Match[str]) -> AnswerWindow:
    """Return the window, or the part, that a text is about."""
    _, *places = found.groups()
    numbers = [int(each) for each in places if each is not None]
    return AnswerPart(*numbers) if len(numbers) == len(fields(AnswerPart)) else AnswerWindow(*numbers)


def _is_key(value: object) -> bool:
    return type(value) is bytes and len(value) == KEY_BYTES


def _is_number(value: object) -> bool:
    return type(value) is float and isfinite(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _or_none(value: float) -> float | None:
    # SQLite has no NaN and keeps NULL in its place.
    return None if isnan(value) else value

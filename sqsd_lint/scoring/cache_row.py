"""One row of the score cache: what it holds, its checksum, and what is wrong with it if it was damaged.

A cache lies on a disk for years, and a flipped bit in a score is a score like any other. So each row has a
checksum over its keys and values; a row that it does not fit is never used.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2b
from typing import NamedTuple, get_args

from sqsd_lint.types import Score, Truncated

KEY_BYTES = 16
_LARGEST = 2**31
_NAN = float("nan")
_PERSON = b"sqsd-lint/cache3"
_PACKED = struct.Struct("<16s16sddddqq")
_TRUNCATED = frozenset(get_args(Truncated))


class CacheRow(NamedTuple):
    """A score as the cache keeps it, in the order of the table's columns.

    Attributes:
        scorer: 16 bytes, everything besides the row that the score depends on (`cache.scorer_key`).
        fingerprint: 16 bytes, of the training content.
        danger, safety: the projections; both finite.
        loss, drift: None where they are not a number.
        tokens, truncated, response_lost: as in `Score`.
    """

    scorer: bytes
    fingerprint: bytes
    danger: float
    safety: float
    loss: float | None
    drift: float | None
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
            score.tokens,
            score.truncated,
            score.response_lost,
        )

    def score(self, *, exact: bool) -> Score:
        """Return the score of a row.

        Args:
            exact: whether its scorer computes in exact mode.
        """
        return Score(
            self.fingerprint.hex(),
            self.danger,
            self.safety,
            self.danger - self.safety,
            self.tokens,
            self.truncated,  # type: ignore[arg-type]  # `fault` has checked it
            self.response_lost,
            _NAN if self.loss is None else self.loss,
            exact,
            _NAN if self.drift is None else self.drift,
        )

    def checksum(self) -> bytes:
        """Return 8 bytes of BLAKE2b over keys and values.

        Raises:
            struct.error, TypeError, AttributeError: a value has the wrong type; `fault` finds that before.
        """
        numbers = (_NAN if value is None else value + 0.0 for value in self[2:6])  # -0.0 is kept as 0.0
        packed = _PACKED.pack(self.scorer, self.fingerprint, *numbers, self.tokens, self.response_lost)
        return blake2b(packed + self.truncated.encode(), digest_size=8, person=_PERSON).digest()

    def fault(self, checksum: bytes | None = None) -> str:
        """Return why a row must not be used, "" if it may.

        Args:
            checksum: that was stored with the row; None where there is none yet.
        """
        for key in (self.scorer, self.fingerprint):
            if type(key) is not bytes or len(key) != KEY_BYTES:
                return f"a key is not {KEY_BYTES} bytes"
        for name in ("danger", "safety"):
            value = getattr(self, name)
            if type(value) is not float or not math.isfinite(value):
                return f"its {name} is not a finite number"
        if not math.isfinite(self.danger - self.safety):
            return "danger less safety is not a finite number"
        for name in ("loss", "drift"):
            value = getattr(self, name)
            if value is not None and (type(value) is not float or not math.isfinite(value)):
                return f"its {name} is neither a finite number nor unknown"
        for name in ("tokens", "response_lost"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < _LARGEST:
                return f"its {name} is not a count"
        if type(self.truncated) is not str or self.truncated not in _TRUNCATED:
            return "it is not known what of it was cut off"
        if checksum is not None and checksum != self.checksum():
            return "its checksum does not fit its values"
        return ""


def _or_none(value: float) -> float | None:
    # SQLite has no NaN and keeps NULL in its place.
    return None if math.isnan(value) else value

"""Typed access to untrusted JSON objects: every complaint names the path of the value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, TypeVar

T = TypeVar("T")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
SUFFIXES = frozenset({".safetensors", ".json", ".parquet", ".md", ".jinja"})


class FieldError(ValueError):
    """A value is missing, unknown or of the wrong kind. The message starts with its path."""


class Fields:
    """One JSON object whose keys are taken one by one; `done` then refuses what is left."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise FieldError(f"{path or 'the manifest'}: expected an object, got {type(value).__name__}")
        self._left: dict[str, Any] = dict(value)
        self._path = path

    def path(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def take(self, key: str, convert: Callable[[Any, str], T]) -> T:
        if key not in self._left:
            raise FieldError(f"{self.path(key)}: missing")
        return convert(self._left.pop(key), self.path(key))

    def done(self) -> None:
        if self._left:
            raise FieldError(f"{self.path(min(self._left))}: unknown key")


def text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise FieldError(f"{path}: expected a string, got {type(value).__name__}")
    return value


def name(value: Any, path: str) -> str:
    """An id that is safe as a folder's name: letters, digits, dots, dashes, underscores."""
    if not is_name(value):
        raise FieldError(f"{path}: expected a name of letters, digits, '.', '_' and '-', got {value!r}")
    return str(value)


def is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.match(value))


def hex64(value: Any, path: str) -> str:
    if not _HEX64.match(text(value, path)):
        raise FieldError(f"{path}: expected 64 hexadecimal digits")
    return str(value)


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise FieldError(f"{path}: expected true or false")
    return value


def count(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FieldError(f"{path}: expected a whole number of 0 or more")
    return value


def number(value: Any, path: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
    except OverflowError:  # a whole number of hundreds of digits
        found = math.inf
    if not math.isfinite(found):
        raise FieldError(f"{path}: expected a finite number")
    return found


def distance(value: Any, path: str) -> float:
    if (found := number(value, path)) < 0:
        raise FieldError(f"{path}: expected a number of 0 or more")
    return found


def scores(value: Any, path: str) -> tuple[float, ...]:
    """A sorted list of finite numbers."""
    found = items(number)(value, path)
    if any(a > b for a, b in pairwise(found)):
        raise FieldError(f"{path}: expected ascending numbers")
    return found


def anything(value: Any, path: str) -> Any:
    return value


def mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(f"{path}: expected an object")
    return value


def optional(convert: Callable[[Any, str], T]) -> Callable[[Any, str], T | None]:
    return lambda value, path: None if value is None else convert(value, path)


def one_of(allowed: Collection[str]) -> Callable[[Any, str], Any]:
    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise FieldError(f"{path}: expected one of {', '.join(sorted(allowed))}, got {value!r}")
        return value

    return convert


def items(convert: Callable[[Any, str], T]) -> Callable[[Any, str], tuple[T, ...]]:
    def convert_all(value: Any, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise FieldError(f"{path}: expected a list")
        return tuple(convert(item, f"{path}[{i}]") for i, item in enumerate(value))

    return convert_all


def inner_path(value: Any, path: str) -> str:
    """A relative POSIX path that stays inside its folder and names a kind of file that is never code."""
    raw = text(value, path)
    pure = PurePosixPath(raw)
    parts = raw.split("/")
    hostile = "\\" in raw or ":" in raw or not raw.isprintable()
    if hostile or pure.is_absolute() or any(p in ("", ".", "..") for p in parts):
        raise FieldError(f"{path}: {raw!r} is not a plain path inside the bundle")
    if pure.suffix not in SUFFIXES:
        raise FieldError(f"{path}: {raw!r} is not one of {', '.join(sorted(SUFFIXES))}")
    return raw

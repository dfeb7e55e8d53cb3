"""The validation in a bundle: what its scores cost when `sqsd-lint validate` tried them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from sqsd_lint.common import fields as f
from sqsd_lint.types import Validation, Window

if TYPE_CHECKING:
    pass

T = TypeVar("T")
_RANKING = "sqsd"
_VERSION = 1


def to_json(validation: Validation) -> dict[str, Any]:
    """As it stands in `bundle.json`: without percentiles, which change with the calibration."""
    raw: dict[str, Any] = _lists(asdict(validation))
    for window in raw["windows"]:
        del window["percentiles"]
    return raw


def _lists(value: Any) -> Any:
    """A value with lists for tuples: JSON and its schema know no others."""
    if isinstance(value, dict):
        return {key: _lists(each) for key, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


def from_fields(value: Any, path: str) -> Validation:
    """The validation in a manifest.

    Raises:
        FieldError: a field is missing, unknown or of the wrong kind.
    """
    top = f.Fields(value, path)
    found = Validation(
        model=top.take("model", f.text),
        rows=top.take("rows", _some),
        size=top.take("size", _some),
        runs=top.take("runs", _some),
        strata=top.take("strata", _some),
        max_length=top.take("max_length", f.optional(_some)),
        steps=top.take("steps", _some),
        lr=top.take("lr", f.distance),
        batch_size=top.take("batch_size", _some),
        judge=top.take("judge", f.text),
        prompts=top.take("prompts", _some),
        before=top.take("before", _share),
        random=top.take("random", f.optional(_share)),
        spearman=top.take("spearman", f.optional(_correlation)),
        spearman_interval=top.take("spearman_interval", f.optional(_pair(_correlation))),
        windows=top.take("windows", f.items(_window)),
    )
    top.done()
    if not found.windows:
        raise f.FieldError(f"{path}.windows: expected one or more")
    return found


def _window(value: Any, path: str) -> Window:
    top = f.Fields(value, path)
    window = Window(
        top.take("sqsd", _pair(f.number)),
        top.take("attack_success", _share),
        top.take("interval", _pair(_share)),
    )
    top.done()
    return window


def _pair(convert: Callable[[Any, str], float]) -> Callable[[Any, str], tuple[float, float]]:
    def convert_both(value: Any, path: str) -> tuple[float, float]:
        found = f.items(convert)(value, path)
        if len(found) != 2 or found[0] > found[1]:
            raise f.FieldError(f"{path}: expected two ascending numbers")
        return found[0], found[1]

    return convert_both


def _some(value: Any, path: str) -> int:
    if (found := f.count(value, path)) < 1:
        raise f.FieldError(f"{path}: expected a whole number of 1 or more")
    return found


def _share(value: Any, path: str) -> float:
    if not 0 <= (found := f.number(value, path)) <= 1:
        raise f.FieldError(f"{path}: expected a number from 0 to 1")
    return found


def _correlation(value: Any, path: str) -> float:
    if not -1.000001 <= (found := f.number(value, path)) <= 1.000001:
        raise f.FieldError(f"{path}: expected a number from -1 to 1")
    return found

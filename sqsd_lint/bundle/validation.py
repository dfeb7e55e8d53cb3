"""The validation in a bundle: what its scores cost when `sqsd-lint validate` tried them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqsd_lint.bundle import fields as f
from sqsd_lint.bundle.digests import read_json
from sqsd_lint.errors import UsageError
from sqsd_lint.tried import Validation, Window

if TYPE_CHECKING:
    from sqsd_lint.bundle.store import Bundle

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


def read_result(path: Path, bundle: Bundle) -> Validation:
    """What a result of `sqsd-lint validate` says about a bundle.

    Raises:
        UsageError: it cannot be read, is no such result, or was not made with this bundle's scores.
    """
    try:
        raw = read_json(path)
        _check_scores(raw, path, bundle)
        return _of_result(raw)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{path}: not a result of `sqsd-lint validate`: {said}",
            hint="give the `result.json` in the folder that its --output names",
        ) from error


def store_validation(bundle: Bundle, validation: Validation) -> Bundle:
    """The bundle with this validation in place of an earlier one: another digest, the same scoring digest."""
    from sqsd_lint.bundle.write import update_bundle

    return update_bundle(bundle, replace(bundle.manifest, validation=validation), {})


def _check_scores(raw: Mapping[str, Any], path: Path, bundle: Bundle) -> None:
    """Refuse a result of other scores: another base, other directions, another metric or expansion."""
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']!r}, only {_VERSION} is known")
    made_with, manifest = raw["bundle"], bundle.manifest
    again = "run `sqsd-lint validate` with this bundle"
    recorded = made_with.get("scoring_digest")
    if recorded is None and made_with["digest"] != bundle.digest:
        raise UsageError(
            f"{path}: does not say which scores it tried (`bundle.scoring_digest` is missing), and its "
            f"bundle's digest, {str(made_with['digest'])[:12]}, is not that of {bundle.id}",
            hint=again,
        )
    if recorded not in (None, bundle.scoring_digest):
        raise UsageError(
            f"{path}: made with other scores: scoring digest {str(recorded)[:12]}, "
            f"where {bundle.id} has {bundle.scoring_digest[:12]}",
            hint=again,
        )
    trained = raw.get("update", "lora")
    if trained != manifest.update:
        raise UsageError(
            f"{path}: trained with --update {trained}, where {bundle.id} scores {manifest.update} updates",
            hint=f"{again} and --update {manifest.update}",
        )
    for key in ("metric", "expansion"):
        if raw[key] != getattr(manifest, key):
            raise UsageError(
                f"{path}: made with --{key} {raw[key]}, the bundle scores with {getattr(manifest, key)}",
                hint=f"{again} and without --{key}",
            )


def _of_result(raw: Mapping[str, Any]) -> Validation:
    rankings, dose = raw["rankings"], raw["dose"]
    if _RANKING not in rankings:
        raise ValueError(f"no windows by {_RANKING}; give --rank-by {_RANKING}")
    ranking = rankings[_RANKING]
    random = [window["attack_success"] for window in rankings.get("random", {"windows": ()})["windows"]]
    return from_fields(
        {
            "model": raw["base_model"],
            "rows": raw["rows"],
            "size": raw["size"],
            "runs": len(raw["seeds"]),
            "strata": raw.get("strata", 1),
            "max_length": raw.get("max_length"),
            **{key: dose[key] for key in ("steps", "lr", "batch_size")},
            "judge": raw["judge"],
            "prompts": raw["prompts"],
            "before": raw["untrained"]["attack_success"],
            "random": sum(random) / len(random) if random else None,
            "spearman": ranking["attack_success"]["spearman"],
            "spearman_interval": ranking["attack_success"].get("interval"),
            "windows": [
                {
                    "sqsd": [window["sqsd"][1], window["sqsd"][0]],
                    "attack_success": window["attack_success"],
                    "interval": window["interval"],
                }
                for window in ranking["windows"]
            ],
        },
        "result",
    )


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

"""What a bundle's scores cost when `sqsd-lint validate` tried them: a result of it, kept in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.formats import read_as
from sqsd_lint.common.json_io import read_json
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Validation

# The ranking that is kept, the fairest first: by what the gate compares, at equal length.
_RANKINGS = ("risk/length", "sqsd/length", "risk", "sqsd")
_WITHIN_LENGTH, _STRATA = "/length", 5
_VERSION = 1


def read_result(path: Path, bundle: Bundle) -> Validation:
    """Return what a result of `sqsd-lint validate` says about a bundle.

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
    """Keep a validation in the bundle, in place of an earlier one: another digest, the same scores."""
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
    name = next((each for each in _RANKINGS if each in rankings), None)
    if name is None:
        raise ValueError(f"no windows by risk or SQSD; give --rank-by {_RANKINGS[0]},random")
    ranking = rankings[name]
    random = [window["attack_success"] for window in rankings.get("random", {"windows": ()})["windows"]]
    return read_as(
        Validation,
        {
            "model": raw["base_model"],
            "rows": raw["rows"],
            "size": raw["size"],
            "runs": len(raw["seeds"]),
            "ranking": name,
            "strata": _STRATA if name.endswith(_WITHIN_LENGTH) else raw.get("strata", 1),
            "max_length": raw.get("max_length"),
            **{key: dose[key] for key in ("steps", "lr", "batch_size")},
            "judge": raw["judge"],
            "prompts": raw["prompts"],
            "before": raw["untrained"]["attack_success"],
            "random": sum(random) / len(random) if random else None,
            "random_range": [min(random), max(random)] if random else None,
            "spearman": ranking["attack_success"]["spearman"],
            "spearman_interval": ranking["attack_success"].get("interval"),
            "windows": [
                {
                    "sqsd": [window["sqsd"][1], window["sqsd"][0]],
                    "risk": [window["risk"][1], window["risk"][0]] if "risk" in window else None,
                    "attack_success": window["attack_success"],
                    "interval": window["interval"],
                }
                for window in ranking["windows"]
            ],
        },
        root="result",
    )

"""How well a proxy's scores rank rows as the target's own do: measured, and kept in the proxy's manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.statistics import bootstrap, spearman
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Agreement

# With fewer rows a decile is a row or two, and the interval says nothing.
FEWEST = 20
_LONGEST_LINE = 1 << 20


def read_scores(path: Path) -> dict[str, float]:
    """Return SQSD by fingerprint of the rows with a score, from what `sqsd-lint score` wrote as JSON Lines.

    Raises:
        UsageError: the file cannot be read, or a line is not such a row.
    """
    found: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), ""), 1):
                if line.strip():
                    found.update(_row(line, f"{path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    return found


def _row(line: str, where: str) -> dict[str, float]:
    hint = "give what `sqsd-lint score FILE -o scores.jsonl` wrote with the target's own bundle"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: not a JSON object", hint=hint) from None
    if not isinstance(row, dict) or "sqsd" not in row or "fingerprint" not in row:
        raise UsageError(f"{where}: not a row of scores: no `fingerprint` and `sqsd`", hint=hint)
    name, sqsd = row["fingerprint"], row["sqsd"]
    if not isinstance(name, str) or isinstance(sqsd, bool) or not isinstance(sqsd, (int, float)):
        return {}  # a row without a score is written with nulls
    try:
        score = float(sqsd)
    except OverflowError:
        return {}
    return {name: score} if math.isfinite(score) else {}


def measure(
    pairs: Sequence[tuple[float, float]], *, target: str, bundle_digest: str | None = None
) -> Agreement:
    """Return the agreement of scores of the same rows, as (the target's own, the proxy's).

    Args:
        target: the target model's name.
        bundle_digest: of the bundle that the target's own scores were made with.

    Raises:
        UsageError: too few rows, or one side does not vary.
    """
    if len(pairs) < FEWEST:
        raise UsageError(
            f"only {len(pairs)} rows have a score of the target and one of the proxy, {FEWEST} are needed",
            hint="name the data files that the target's scores were made of",
        )
    theirs, ours = zip(*pairs, strict=True)
    correlation = spearman(theirs, ours)
    if math.isnan(correlation):
        raise UsageError("all rows have the same score, so that their ranks cannot be compared")
    # Without an interval nearly all rows have the same score: then nothing is known.
    low, high = bootstrap(theirs, ours) or (-1.0, 1.0)
    top = max(1, len(pairs) // 10)
    both = _riskiest(theirs, top) & _riskiest(ours, top)
    return Agreement(
        target=target,
        bundle_digest=bundle_digest,
        rows=len(pairs),
        spearman=round(correlation, 4),
        low=round(low, 4),
        high=round(high, 4),
        top_decile=round(len(both) / top, 4),
    )


def _riskiest(scores: Sequence[float], count: int) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda row: -scores[row])[:count])


def store(bundle: Bundle, agreement: Agreement) -> Bundle:
    """Keep an agreement in the bundle, in place of an earlier one with the same target.

    Returns:
        The bundle as it now is: another digest, the same scoring digest.
    """
    others = [a for a in bundle.manifest.agreements if a.target != agreement.target]
    return update_bundle(bundle, replace(bundle.manifest, agreements=(*others, agreement)), {})


def with_target(agreements: Sequence[Agreement], model: str) -> Agreement | None:
    """Return the agreement with a target, named as by `--model`: a Hub id, or a folder by its last name."""
    names = {model, Path(model).name} if Path(model).is_dir() else {model}
    return next((a for a in agreements if a.target in names), None)

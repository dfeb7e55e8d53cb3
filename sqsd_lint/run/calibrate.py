"""`bundle calibrate`: reference rows scored, and what they say kept with the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sqsd_lint.bundle.agreement import measure as measure_agreement
from sqsd_lint.bundle.agreement import read_scores
from sqsd_lint.bundle.agreement import store as store_agreement
from sqsd_lint.bundle.calibrate import FEWEST, ScoredSet, stored_sets
from sqsd_lint.bundle.calibrate import calibrate as store_calibration
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.bundle.screen import store_screen
from sqsd_lint.common import screen as screening
from sqsd_lint.common.progress import Progress
from sqsd_lint.common.screen import AnswerText
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import clean_samples, read_samples
from sqsd_lint.run.screen import AUTO_RECALL, answer_of
from sqsd_lint.samples import excerpt, trained_form
from sqsd_lint.types import Sample

# The line that a screen is made for, as a percentile of benign rows, and the recalls whose cost is recorded.
WARNING = 99.0
RECALLS = (0.9, 0.95, AUTO_RECALL, 0.99)
# Why a screen is not carried over: other benign rows move the line, and whose estimates then count for the
# bound cannot be told without the texts (docs/speed.md).
_NO_TEXTS = (
    "of the rows before only the scores are kept, not the texts"
    " (for a screen of all, give all sets without --add)"
)


def calibrate(
    bundle: str,
    sets: Mapping[str, Mapping[str, Sequence[Sample]]],
    settings: Settings,
    *,
    add: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Score reference sets and store both distributions and the tolerance between dtypes in a bundle.

    Args:
        sets: "benign" and "harmful" -> name of a set -> rows that no adapter of the bundle was trained on.
        add: keep the sets of the calibration before, but for those of the same names.

    Raises:
        UsageError: a row of a reference set cannot be scored, or the calibration before cannot be added to.
    """
    run = BundleRun(replace(settings, bundle=bundle, scorer=None), progress)
    scored = {
        role: [
            ScoredSet(
                name,
                run.reference_scores(rows),
                [excerpt(row) for row in rows],
                [trained_form(row) for row in rows],
            )
            for name, rows in sets.get(role, {}).items()
        ]
        for role in ("benign", "harmful")
    }
    samples = {s.fingerprint: s for named in sets.values() for rows in named.values() for s in rows}
    scores = [score for role in scored.values() for one in role for score in one.scores]
    made = run.model_scorer.bundle
    if add:
        before = {role: stored_sets(made, role) for role in scored}
        if not before["benign"]:
            raise UsageError(f"{made.id}: has no calibration to add to", hint="leave --add out")
        _check_settings(made, settings)
        for role, own in scored.items():
            names = {one.name for one in own}
            scored[role] = [one for one in before[role] if one.name not in names] + own
    made = store_calibration(
        made,
        scored["benign"],
        scored["harmful"] or stored_sets(made, "harmful"),
        dtype_pairs=run.dtype_pairs(scores, samples),
        dtype=run.scorer.dtype,
        settings={
            "max_length": settings.max_length,
            "turns": settings.turns,
            "long_answers": settings.long_answers,
        },
    )
    return fit_screen(made, run.model_scorer, sets)


def fit_screen(
    bundle: Bundle, scorer: ModelScorer, sets: Mapping[str, Mapping[str, Sequence[Sample]]]
) -> Bundle:
    """Fit the screen of a calibrated bundle to its reference rows, and store it.

    A bundle with too few rows above the warning line to promise the recall of `--screen auto` gets none.

    Args:
        scorer: with the bundle's tokenizer.
        sets: the rows whose scores the calibration keeps.
    """
    stored = bundle.manifest.calibration
    if stored is None or stored.length is None or not sets.get("harmful"):
        return bundle
    calibration = ScoreCalibration.from_json(stored.to_json())
    rows: list[AnswerText] = []
    risks: list[float] = []
    benign_tokens: list[int] = []  # 0 for harmful rows
    for role, named in sets.items():
        kept = {s.fingerprint: s for each in stored_sets(bundle, role) for s in each.scores}
        for sample in (row for each in named.values() for row in each):
            encoded = scorer.encoder().encode_parts(sample)[0]
            rows.append(answer_of(sample, encoded))
            risks.append(calibration.risk(kept[sample.fingerprint]))
            benign_tokens.append(len(encoded.ids) if role == "benign" else 0)
    screen, estimates = screening.fit(rows, risks, calibration.value_at(WARNING))
    if screen.highest_recall < AUTO_RECALL:
        return bundle
    total, exact = sum(benign_tokens), {}
    for recall in (each for each in RECALLS if each <= screen.highest_recall):
        least = screen.line - screen.margin(recall)
        scored = (
            tokens
            for row, estimate, tokens in zip(rows, estimates, benign_tokens, strict=True)
            if estimate >= least or not screen.covered.holds(row)
        )
        exact[f"{recall:g}"] = sum(scored) / total
    return store_screen(bundle, screen, len(rows), exact)


def _check_settings(bundle: Bundle, settings: Settings) -> None:
    """Refuse to add rows that are scored otherwise than the rows that are there."""
    stored = bundle.manifest.calibration
    for name, value in (stored.settings if stored else {}).items():
        if getattr(settings, name) != value:
            raise UsageError(
                f"{bundle.id}: its reference rows were scored with {name} = {value}, these would be with"
                f" {getattr(settings, name)}",
                hint=f"set {name} to {value}, or leave --add out",
            )


def shortcomings(bundle: Bundle, *, added: bool = False) -> list[str]:
    """Return what a calibration lacks, in words, with what that does to thresholds.

    Args:
        added: whether sets were added to those of a calibration before, whose texts are not kept.
    """
    stored = bundle.manifest.calibration
    if stored is None:
        return []
    rows, notes = len(stored.benign), []
    if rows < FEWEST:
        notes.append(
            f"{rows:,} benign rows: fewer than {FEWEST} do not tell how scores depend on the length of"
            " answers, so that short answers will be found more often than long ones"
        )
    if rows < 999:
        notes.append(
            f"{rows:,} benign rows cannot tell a rate of one in a thousand: p99.9 lies just above the highest"
            f" of their scores, and p{100 * (1 - 1 / (rows + 1)):.4g} is the finest rate that they support"
        )
    if len(stored.sets.benign) < 3:
        notes.append("benign rows of fewer than three sets: other kinds of rows may be found more often")
    screen = bundle.manifest.screen
    if screen is None and rows >= FEWEST:
        notes.append(
            "too few known-harmful rows with their text lie above the warning line: there is no `--screen`"
            + (f": {_NO_TEXTS}" if added else "")
        )
    elif screen is not None and screen.rows < rows + len(stored.harmful):
        notes.append(
            f"`--screen` was fitted to {screen.rows:,} of {rows + len(stored.harmful):,} reference rows and"
            f" speaks of rows like those: {_NO_TEXTS}"
        )
    if not stored.harmful:
        notes.append("no known-harmful rows: reports cannot say what share of them a threshold finds")
    return notes


def agree(
    bundle: str,
    scores: Path,
    files: Sequence[str],
    settings: Settings,
    *,
    target_bundle: str | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Score rows with a proxy that a target has scored, and store in the proxy how far the ranks agree.

    Args:
        bundle: the proxy's.
        scores: what `score` wrote with the target's own bundle.
        files: where the rows are; rows that the target has not scored are passed by.
        settings: `model` names the target, unless `target_bundle` does.
        target_bundle: the bundle that the target's scores were made with.

    Raises:
        UsageError: no target is named, too few rows are found, or a row cannot be scored.
        BundleError: with a lock in `settings`, one of the two bundles is not the locked one.
    """
    wanted = read_scores(scores)
    cache = Path(settings.cache_dir) if settings.cache_dir else None
    own = open_for(replace(settings, bundle=target_bundle), cache_dir=cache) if target_bundle else None
    target = settings.model or (own.manifest.base_model.id if own else None)
    if target is None:
        raise UsageError(
            "the target's name is missing", hint="name it with --model, or its bundle with --target-bundle"
        )
    run = BundleRun(replace(settings, bundle=bundle, proxy=True, scorer=None), progress)
    samples: dict[str, Sample] = {}
    for file in files:
        for item in read_samples(file, settings):
            if isinstance(item, Sample) and item.fingerprint in wanted:
                samples.setdefault(item.fingerprint, item)
    ours = run.reference_scores(list(samples.values()))
    pairs = [(wanted[score.fingerprint], score.sqsd) for score in ours]
    name = Path(target).name if Path(target).is_dir() else target
    measured = measure_agreement(pairs, target=name, bundle_digest=own.digest if own else None)
    return store_agreement(run.model_scorer.bundle, measured)


def reference_rows(
    files: Sequence[str], settings: Settings, rows: int | None = None
) -> dict[str, list[Sample]]:
    """Return the rows of reference files by file name, at most `rows` of each.

    Raises:
        UsageError: a row that is no training sample: a reference set must be clean.
    """
    found: dict[str, list[Sample]] = {}
    for file in files:
        found.setdefault(Path(file).name, []).extend(islice(clean_samples(file, settings), rows))
    return found

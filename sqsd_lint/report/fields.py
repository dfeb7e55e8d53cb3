"""The fields of the machine-readable formats: plain dicts that hold no NaN and no lone surrogate.

Text is the row's own, neither escaped nor cut beyond `EXCERPT` characters: the JSON writer escapes
everything outside printable ASCII, and who shows it must escape it for the place where it is shown.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict
from typing import Any

from sqsd_lint.common.escape import well_formed
from sqsd_lint.common.formats import plain
from sqsd_lint.report import Options
from sqsd_lint.report.sentences import counts_by_severity, files_with_findings, rule_counts
from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.rules.findings import PARTIAL, is_partial, is_screened, why_unscorable
from sqsd_lint.types import (
    Coverage,
    Head,
    Opinion,
    Problem,
    Report,
    Score,
    ScoredRow,
    Severity,
    Threshold,
    Violation,
    Where,
)

# The version of the formats `json` and `jsonl`: raised when a field changes its meaning or goes.
VERSION = 1
EXCERPT = 240
SCREENED = "screened"  # the status of a row that was passed by with a bound


def dump(value: Any, indent: int | None = None) -> str:
    """JSON in pure ASCII. `##` is broken by an escape, since CI runners obey `##[...]` in a log."""
    text = json.dumps(_well_formed(value), ensure_ascii=True, allow_nan=False, indent=indent)
    return text.replace("##", "#\\u0023")


def number(value: float | None) -> float | None:
    """Return a finite float, or None: JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def head(value: Head) -> dict[str, Any]:
    """Where several bundles judge, `bundles` has the head of each, and `consensus` how many it takes."""
    found: dict[str, Any] = {
        "base_model": value.base_model,
        "bundle_id": value.bundle_id,
        "bundle_digest": value.bundle_digest,
        "metric": value.metric,
        "expansion": value.expansion,
        "dtype": value.dtype,
        "device": value.device,
        "error_line": threshold(value.error_threshold),
        "warning_line": threshold(value.warning_threshold),
        "notes": list(value.notes),
        "validation": plain(value.validation) if value.validation else None,
        "proxy_for": value.proxy_for or None,
        "agreement": plain(value.agreement) if value.agreement else None,
        "uncovered": number(value.uncovered),
    }
    if value.bundles:
        found |= {"consensus": value.consensus, "bundles": [head(each) for each in value.bundles]}
    return found


def threshold(value: Threshold | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        "spec": value.spec,
        "value": number(value.value),
        "benign_share": number(value.benign_share),
        "harmful_share": number(value.harmful_share),
    }


def summary(report: Report) -> dict[str, Any]:
    """Return counts and the exit code (the verdict before `--exit-zero`).

    `baselined` and `suppressed` are findings that somebody has accepted: no part of the other counts.
    """
    severities = counts_by_severity(report)
    rules: Counter[str] = Counter()
    for (rule, _, _), count in rule_counts(report).items():
        rules[rule] += count
    unlisted = sum(each.count for each in report.unlisted)
    return {
        "errors": severities[Severity.ERROR],
        "warnings": severities[Severity.WARNING],
        "files": len(files_with_findings(report)),
        **({"unlisted": unlisted} if unlisted else {}),
        "baselined": report.baselined,
        "suppressed": report.suppressed,
        "rules": dict(sorted(rules.items())),
        "seconds": number(round(report.seconds, 3)),
        "exit_code": int(report.exit_code),
    }


def coverage(value: Coverage) -> dict[str, Any]:
    """`unchanged` rows are no part of `rows`; `notes` say what else was left out."""
    return {
        "rows": value.rows,
        "scored": value.scored,
        "cached": value.cached,
        "allowed": value.allowed,
        "unchanged": value.unchanged,
        "files": value.files,
        "unreadable_files": value.unreadable_files,
        "not_read": value.not_read,
        "complete": value.complete,
        "notes": list(value.notes),
        **({"screened": value.screened} if value.screened else {}),
    }


def violation(value: Violation, options: Options) -> dict[str, Any]:
    """One finding. `line` and `index` are null where it is about the file; scores where there is none.

    Where several bundles judge, the finding has no score of its own, and `consensus` has theirs.
    """
    score = value.score
    found: dict[str, Any] = {
        "rule": value.rule,
        "name": value.name,
        "severity": value.severity.value,
        **_where(value.where),
        "message": value.message,
        "hint": value.hint or None,
        "fingerprint": value.fingerprint or None,
        "sqsd": number(score.sqsd) if score else None,
        "danger": number(score.danger) if score else None,
        "safety": number(score.safety) if score else None,
        **_risk(score),
        "percentile": number(value.percentile),
        "tokens": score.tokens if score else None,
        "truncated": score.truncated if score else None,
        **_window(score),
        "excerpt": None if options.redact else value.excerpt[:EXCERPT],
    }
    if value.opinions:
        found["consensus"] = {
            **consensus(Consensus.of(value)),
            "opinions": [{**opinion(each), "line": each.level} for each in value.opinions],
        }
    return found


def consensus(value: Consensus) -> dict[str, Any]:
    """How far several bundles agree on a row."""
    return {
        "mean_percentile": number(value.mean_percentile),
        "max_percentile": number(value.max_percentile),
        "agreement": number(value.agreement),
        "risky": list(value.risky),
        "only": value.only,
    }


def opinion(value: Opinion) -> dict[str, Any]:
    """Return what one of several bundles says."""
    return {
        "bundle": value.bundle,
        "danger": number(value.score.danger),
        "safety": number(value.score.safety),
        "sqsd": number(value.score.sqsd),
        **_risk(value.score),
        "percentile": number(value.percentile),
        **_window(value.score),
        "risky": value.risky,
    }


def row(value: ScoredRow | Problem) -> dict[str, Any]:
    """One row as `score` writes it; a row without a score has its problem's code as `status`.

    A row of which only a part was scored has that part's scores, and the rule that says so as `status`. A row
    that was screened has none, but what its risk lies below as `bound`.
    """
    if isinstance(value, Problem):
        score, percentile, status = None, None, value.code
    elif is_screened(value):
        score, percentile, status = None, None, SCREENED
    elif why_unscorable(value.score):
        score, percentile, status = None, None, "SQSD301"
    else:
        score, percentile, status = value.score, value.percentile, PARTIAL if is_partial(value) else "ok"
    where = _where(value.where)
    return {
        "file": where["file"],
        "line": where["line"],
        "fingerprint": value.fingerprint or None,
        "danger": number(score.danger) if score else None,
        "safety": number(score.safety) if score else None,
        "sqsd": number(score.sqsd) if score else None,
        **_risk(score),
        "percentile": number(percentile),
        "tokens": score.tokens if score else None,
        "truncated": score.truncated if score else None,
        **_window(score),
        **_bound(value),
        "status": status,
    }


def _risk(score: Score | None) -> dict[str, Any]:
    """Return what thresholds are compared with, where a bundle makes more of a row than its SQSD."""
    found = {}
    if score and score.harm is not None:
        found["harm"] = number(score.harm)
    if score and not score.is_sqsd_alone:
        found["risk"] = number(score.risk)
    return found


def _bound(value: ScoredRow | Problem) -> dict[str, Any]:
    """Return what the risk of a screened row lies below."""
    return {"bound": number(value.score.bound)} if isinstance(value, ScoredRow) and is_screened(value) else {}


def _window(score: Score | None) -> dict[str, Any]:
    """Which piece of an answer the scores are about, and of a part those of the row as a whole."""
    if score is None or score.window is None:
        return {}
    if score.part is None or score.whole is None:
        return {"window": asdict(score.window)}
    whole = score.whole
    scores = {"sqsd": number(whole.sqsd), **_risk(whole), "tokens": whole.tokens}
    return {"part": {**asdict(score.part), "whole": scores}}


def _where(where: Where) -> dict[str, Any]:
    return {
        "file": well_formed(where.file),
        "line": where.line or None,
        "index": where.index if where.index >= 0 else None,
    }


def _well_formed(value: Any) -> Any:
    """Every text in a value made fit for UTF-8, wherever it came from."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): _well_formed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_well_formed(each) for each in value]
    return value

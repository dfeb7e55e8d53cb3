"""Reports of several bundles."""

from __future__ import annotations

from sqsd_lint.types import Coverage, Head, Opinion, Report, ScoredRow, Severity, Threshold, Violation, Where
from tests.report.reports import HEAD, score

OTHER = Head(
    base_model="gemma-3-270m",
    bundle_id="gemma",
    bundle_digest="sha256:77aa1200453f9a0c1e52bd",
    metric="dot",
    expansion="shared",
    dtype="float32",
    device="cpu",
    error_threshold=Threshold("p99.9", 0.0415, benign_share=0.001, harmful_share=0.71),
    warning_threshold=Threshold("p99", 0.0412, benign_share=0.01, harmful_share=0.8),
)


def opinions(first: float, second: float) -> tuple[Opinion, ...]:
    """What the bundles of HEAD and OTHER say: the score of each at such a benign percentile."""
    lines = [Severity.ERROR if p >= 99.9 else Severity.WARNING if p >= 99 else None for p in (first, second)]
    return (
        Opinion("default", score(first / 15), first, lines[0] is not None, lines[0]),
        Opinion("gemma", score(second / 2400), second, lines[1] is not None, lines[1]),
    )


def joint(line: int, rule: str, name: str, severity: Severity, said: str, *places: float) -> Violation:
    """A finding of two bundles."""
    return Violation(
        rule,
        name,
        severity,
        Where("data/train.jsonl", line, line - 1),
        said,
        f"{line:032x}",
        "Write a poem about [bold]rain[/bold]",
        "Read the row; remove or rewrite it if its answer is unsafe.",
        None,
        sum(places) / 2,
        opinions(*places),
    )


# Two bundles: one finding of both, one of one alone, and a file that one alone finds risky.
TOGETHER = Report(
    head=Head(
        base_model="SmolLM2-135M-Instruct + gemma-3-270m",
        bundle_id="default + gemma",
        bundle_digest="sha256:3f9a0c1e52bd77aa120045 + sha256:77aa1200453f9a0c1e52bd",
        metric="cosine + dot",
        expansion="shared",
        dtype="float32",
        device="cpu",
        error_threshold=None,
        warning_threshold=None,
        notes=("2 bundles judge every row; 2 must find it risky (consensus: majority)",),
        bundles=(HEAD, OTHER),
        consensus="majority",
    ),
    violations=(
        joint(
            12,
            "SQSD101",
            "high-risk-sample",
            Severity.ERROR,
            "2 of 2 bundles have it at or above the error line (mean p99.95, maximum p99.98, "
            "agreement 100%): default p99.98 (error), gemma p99.92 (error)",
            *(99.98, 99.92),
        ),
        joint(
            48,
            "SQSD102",
            "elevated-risk-sample",
            Severity.WARNING,
            "only 1 of 2 bundles finds it risky, gemma (mean p69.95, maximum p99.4, agreement 50%): "
            "default p40.5, gemma p99.4 (warning)",
            *(40.5, 99.4),
        ),
        Violation(
            "SQSD202",
            "risk-share",
            Severity.WARNING,
            Where("data/train.jsonl", 0, -1),
            "only 1 of 2 bundles: gemma: 30 of 400 rows (7.5%) are at or above the warning line (p99)",
            f"{7:032x}",
            hint="Read the file's highest-scoring rows; remove or rewrite the unsafe ones.",
        ),
    ),
    coverage=Coverage(rows=3, scored=3, cached=3, files=1),
    exit_code=1,
    seconds=0.4,
    rows=tuple(
        ScoredRow(
            Where("data/train.jsonl", line, line - 1),
            f"{line:032x}",
            "text",
            opinions(*places)[0].score,
            places[0],
            opinions=opinions(*places),
        )
        for line, places in ((1, (3.0, 60.0)), (12, (99.98, 99.92)), (48, (40.5, 99.4)))
    ),
    next_steps=("Read the 1 row at or above the error line: `sqsd-lint rule SQSD101`.",),
)

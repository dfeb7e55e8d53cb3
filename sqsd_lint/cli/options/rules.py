"""What judges the scores: rules, what was accepted before, the fine-tune."""

from __future__ import annotations

from typing import Annotated

from sqsd_lint.cli.options.option_helpers import RULES, flag, text

Threshold = Annotated[
    str | None,
    text(
        "--threshold",
        metavar="LINE",
        panel=RULES,
        help="Error line: a raw score 7.5, a benign percentile p99.9 or z-score z3, a harmful percentile h5.",
    ),
]
WarningThreshold = Annotated[
    str | None,
    text("--warning-threshold", metavar="LINE", panel=RULES, help="Warning line, written likewise."),
]
Select = Annotated[
    list[str] | None,
    text(
        "--select",
        metavar="CODE,...",
        panel=RULES,
        help="Only these rules, by code or prefix: --select SQSD1,SQSD303. May be repeated.",
    ),
]
Ignore = Annotated[
    list[str] | None, text("--ignore", metavar="CODE,...", panel=RULES, help="Not these rules.")
]
Allow = Annotated[
    list[str] | None,
    text(
        "--allow",
        metavar="CODE,...",
        panel=RULES,
        help="Pass rows without a score for these reasons: SQSD301, SQSD303, SQSD304. Otherwise exit 3.",
    ),
]
Rules = Annotated[
    str | None,
    text("--rules", metavar="PACK", panel=RULES, help="Rule pack: default, strict or a JSON file."),
]
FailOn = Annotated[
    str | None,
    text("--fail-on", metavar="error|warning", panel=RULES, help="What exits with 1. Default: error."),
]
PerFileIgnores = Annotated[
    list[str] | None,
    text(
        "--per-file-ignores",
        metavar="GLOB=CODE,...",
        panel=RULES,
        help="Not these rules in these files. May be repeated.",
    ),
]
Consensus = Annotated[
    str | None,
    text(
        "--consensus",
        metavar="any|majority|all",
        panel=RULES,
        help="How many of several bundles must find a row risky. Default: majority. Fewer: a warning.",
    ),
]
Baseline = Annotated[
    str | None,
    text(
        "--baseline",
        metavar="FILE",
        panel=RULES,
        help="Findings that are known. Default: .sqsd-lint-baseline.json, if it is there.",
    ),
]
NoBaseline = Annotated[bool, flag("--no-baseline", panel=RULES, help="Report known findings, too.")]
Suppressions = Annotated[
    str | None,
    text(
        "--suppressions",
        metavar="FILE",
        panel=RULES,
        help="Findings accepted with a reason. Default: .sqsd-lint-suppressions.toml, if it is there.",
    ),
]
NoInlineSuppressions = Annotated[
    bool,
    flag("--no-inline-suppressions", panel=RULES, help="Rows may not suppress findings about themselves."),
]
PolicyRef = Annotated[
    str | None,
    text(
        "--policy-ref",
        metavar="REF",
        panel=RULES,
        help="Take configuration, rules, baseline and suppressions from this commit, not from the work tree.",
    ),
]
LearningRate = Annotated[
    float | None,
    text("--learning-rate", metavar="FLOAT", panel=RULES, help="Of the fine-tune, for SQSD201."),
]
Epochs = Annotated[
    float | None, text("--epochs", metavar="N", panel=RULES, help="Of the fine-tune, for SQSD201.")
]
BatchSize = Annotated[
    int | None, text("--batch-size", metavar="ROWS", panel=RULES, help="Of the fine-tune, for SQSD201.")
]

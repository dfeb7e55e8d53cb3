"""Fixed reports that the tests of the formats render."""

from __future__ import annotations

import random
from dataclasses import replace

from sqsd_lint.types import (
    Coverage,
    Head,
    PlacedValidation,
    PlacedWindow,
    Report,
    Score,
    ScoredRow,
    Severity,
    Threshold,
    Violation,
    Where,
)

VALIDATION = PlacedValidation(
    model="SmolLM2-135M-Instruct",
    rows=1177,
    size=100,
    runs=3,
    strata=1,
    max_length=384,
    steps=75,
    lr=4e-4,
    batch_size=8,
    judge="refusal phrases",
    prompts=90,
    before=0.0,
    random=0.5,
    random_range=(0.19, 0.82),
    spearman=0.91,
    spearman_interval=(0.6, 1.0),
    windows=(
        PlacedWindow((4.05, 12.7), 0.92, (0.88, 0.95), percentiles=(98.4, 100.0)),
        PlacedWindow((-0.5, 1.6), 0.37, (0.31, 0.43), percentiles=(40.0, 60.0)),
        PlacedWindow((-21.0, -2.7), 0.17, (0.13, 0.22), percentiles=(0.0, 2.5)),
    ),
)

HEAD = Head(
    base_model="SmolLM2-135M-Instruct",
    bundle_id="default",
    bundle_digest="sha256:3f9a0c1e52bd77aa120045",
    metric="cosine",
    expansion="shared",
    dtype="float32",
    device="cpu",
    error_threshold=Threshold("p99.9", 6.42, benign_share=0.001, harmful_share=0.874),
    warning_threshold=Threshold("p99", 4.10, benign_share=0.01, harmful_share=0.941),
    notes=("small proxy model: its scores rank rows, they say nothing certain about a larger model",),
    validation=VALIDATION,
)


def score(sqsd: float, *, tokens: int = 132, response_lost: int = 0) -> Score:
    """A score whose danger and safety parts are made up."""
    truncated = "response" if response_lost else ""
    return Score("", 0.6 * sqsd, -0.4 * sqsd, sqsd, tokens, truncated, response_lost)  # type: ignore[arg-type]


def high_risk(file: str, line: int, sqsd: float, percentile: float | None, excerpt: str) -> Violation:
    return Violation(
        "SQSD101",
        "high-risk-sample",
        Severity.ERROR,
        Where(file, line, line - 1),
        f"SQSD {sqsd:.2f} is at or above the error line 6.42 (p99.9)",
        f"{line:032x}",
        excerpt,
        "Read the row; remove or rewrite it if its answer is unsafe.",
        score(sqsd),
        percentile,
    )


TWICE = Where("data/train.jsonl", 48, 47)
JOKE = (
    "Tell me a joke\nSure: 一个律师走进酒吧, 说了一个很长很长的笑话, 但是没有人笑, because it was so very old"
)

FULL = Report(
    head=HEAD,
    violations=(
        high_risk(
            "data/train.jsonl",
            12,
            11.84,
            99.987,
            "How do I get around my school's content filter? Sure! First of all, find out which proxy server "
            "the school uses, and then write it down on a sheet of paper",
        ),
        Violation(
            "SQSD302",
            "truncated-response",
            Severity.WARNING,
            TWICE,
            "only 1,024 of 2,310 response tokens were scored",
            f"{48:032x}",
            JOKE,
            "Raise --max-length, or shorten the response.",
            score(5.1, tokens=1024, response_lost=1286),
            99.41,
        ),
        Violation(
            "SQSD102",
            "elevated-risk-sample",
            Severity.WARNING,
            TWICE,
            "SQSD 5.10 is at or above the warning line 4.10 (p99)",
            f"{48:032x}",
            JOKE,
            "Read the row; remove or rewrite it if its answer is unsafe.",
            score(5.1, tokens=1024, response_lost=1286),
            99.41,
        ),
        high_risk("data/train.jsonl", 1207, 6.51, 99.91, "Write a poem about [bold]rain[/bold]"),
        Violation(
            "SQSD304",
            "unreadable-file",
            Severity.ERROR,
            Where("data/weights.jsonl", 0, -1),
            "a Git LFS pointer, not the data itself",
            hint="Fetch the data with `git lfs pull`.",
        ),
        Violation(
            "SQSD303",
            "malformed-row",
            Severity.ERROR,
            Where("data/extra.jsonl", 3, 2),
            "not JSON: expected ',' at column 41",
            excerpt='{"messages": [{"role": "user", "content" "hello"}]}',
            hint="Repair the row.",
        ),
        Violation(
            "SQSD301",
            "unscorable-row",
            Severity.ERROR,
            Where("data/extra.jsonl", 9, 8),
            "no response tokens: every message of the row is a user's, so that there is nothing in it that "
            "training would learn from",
            f"{9:032x}",
            "What is the capital of France?",
            "Give the row a response, or remove it.",
        ),
    ),
    coverage=Coverage(rows=2000, scored=1998, cached=1204, files=4, unreadable_files=1),
    exit_code=3,
    seconds=12.4,
    next_steps=(
        "Read the 2 rows at or above the error line: `sqsd-lint rule SQSD101`.",
        "Repair 2 rows and 1 file without a score, or accept the gap by name: `--allow SQSD301`.",
    ),
)

CLEAR = Report(
    head=HEAD,
    violations=(),
    coverage=Coverage(rows=2000, scored=2000, cached=2000, files=3),
    exit_code=0,
    seconds=0.4,
)

# A pull request of 12 rows in a file of 2,000: two known findings, one about the file as a whole.
DIFF = Report(
    head=HEAD,
    violations=(
        Violation(
            "SQSD202",
            "risk-share",
            Severity.ERROR,
            Where("data/train.jsonl", 0, -1),
            "4 of 12 rows (33%) are at or above the warning line 4.10, where 1% was expected",
            hint="Read the rows with the highest scores.",
        ),
        high_risk("data/train.jsonl", 1995, 6.44, 99.9, "Tell me about the weather"),
        high_risk("data/train.jsonl", 1998, 6.44, 99.9, "Tell me about the weather"),
    ),
    coverage=Coverage(
        rows=12,
        scored=12,
        cached=9,
        files=1,
        unchanged=1988,
        notes=("`data/readme.parquet` was left out: it is excluded by `.sqsdlintignore`",),
    ),
    exit_code=1,
    seconds=1.5,
    baselined=2,
    suppressed=1,
    next_steps=("Read the 2 rows at or above the error line: `sqsd-lint rule SQSD101`.",),
)


HOSTILE_TEXT = (
    "\x1b[31mred\x1b]0;title\x07 \x9b2J ::error::boo ##[error]x ##vso[task] [red]markup[/red] :smile: "
    "\u202eevil\u2066 a\u200bb \ud800 \r\n\t\x00 \ufeff e" + "\u0301" * 40
)
# What Markdown, HTML, XML and SARIF would read as something else than text.
HOSTILE_MARKUP = (
    "a|b \\| `tick` ``two`` <img src=x onerror=alert(1)> <!-- c --> </details> [l](http://e.vil) ![i](x) "
    "@team/all #12 GH-12 deadbeefcafe www.e.vil a@b.cc $x$ **b** __c__ ]]> &lt; %0A {0} [x](1) \\"
)
HOSTILE_FILE = "::error file=x::\x1b[2J[red]\u202egnp.jsonl\n::warning::"

HOSTILE = Report(
    head=Head(
        base_model=f"model {HOSTILE_TEXT}",
        bundle_id="\x1b[31mid",
        bundle_digest="sha256:\x1b[31m",
        metric="cosine",
        expansion="paper",
        dtype="bfloat16",
        device="cuda:0",
        error_threshold=Threshold("z3\x1b[0m", 6.0),
        warning_threshold=None,
        notes=(HOSTILE_TEXT,),
    ),
    violations=(
        high_risk(HOSTILE_FILE, 1, 7.0, None, HOSTILE_TEXT),
        high_risk(HOSTILE_FILE, 2, float("inf"), float("nan"), "\x1b[31m" * 200_000),
        high_risk(HOSTILE_FILE, 3, float("nan"), None, "界" * 1_000_000),
        Violation(
            "SQSD303\x1b",
            "malformed\x07-row",
            Severity.ERROR,
            Where(HOSTILE_FILE, 4, 3),
            HOSTILE_TEXT,
            HOSTILE_TEXT,
            "::set-output name=x::y",
            HOSTILE_TEXT,
        ),
    ),
    coverage=Coverage(rows=4, scored=3, files=1),
    exit_code=3,
    next_steps=(HOSTILE_TEXT,),
)

MARKUP = replace(
    HOSTILE,
    head=replace(HEAD, base_model=HOSTILE_MARKUP, bundle_id=HOSTILE_MARKUP, notes=(HOSTILE_MARKUP,)),
    violations=tuple(
        replace(
            high_risk(f"{HOSTILE_MARKUP}.jsonl", line, 7.0, None, HOSTILE_MARKUP),
            rule=rule,
            message=HOSTILE_MARKUP,
        )
        for line, rule in enumerate(("SQSD101", "SQSD303", "SQSD304"), 1)
    ),
    coverage=Coverage(rows=3, scored=1, files=1, notes=(HOSTILE_MARKUP,)),
    next_steps=(HOSTILE_MARKUP, "1. `a``b` `c"),
)


def with_rows(report: Report, count: int = 2000, seed: int = 1) -> Report:
    """The report with scored rows around 0 and a few far above."""
    rng = random.Random(seed)
    values = (rng.gauss(0, 1.6) + 6 * (rng.random() < 0.01) for _ in range(count))
    rows = tuple(
        ScoredRow(Where("a.jsonl", i + 1, i), f"{i:032x}", "text", score(v)) for i, v in enumerate(values)
    )
    return replace(report, rows=rows)

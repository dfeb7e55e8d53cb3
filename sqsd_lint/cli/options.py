"""The options that commands share, in the groups that `--help` shows."""

from __future__ import annotations

from typing import Annotated

import typer

from sqsd_lint.cli.completion import completer

_MODEL = "Model and bundle"
_RULES = "Rules"
_ROWS = "Rows"
_CHANGES = "Changes"
_FIX = "Fixing"
_OUTPUT = "Output"
_SPEED = "Speed and cache"
_CONFIG = "Configuration"


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Files and folders; - reads standard input. Default: the configured ones, else this folder.",
        show_default=False,
    ),
]


def _text(*names: str, metavar: str, panel: str, help: str) -> object:
    return typer.Option(
        *names,
        metavar=metavar,
        rich_help_panel=panel,
        help=help,
        show_default=False,
        autocompletion=completer(metavar),
    )


def _flag(*names: str, panel: str, help: str) -> object:
    # The blank metavar keeps Typer from printing <bool> beside every flag.
    return typer.Option(*names, metavar=" ", rich_help_panel=panel, help=help, show_default=False)


Bundle = Annotated[
    str | None,
    _text(
        "--bundle",
        metavar="BUNDLE",
        panel=_MODEL,
        help="Direction bundle: a folder, a cached id or hf://org/name@revision. Default: the embedded one.",
    ),
]
Model = Annotated[
    str | None,
    _text(
        "--model",
        metavar="MODEL",
        panel=_MODEL,
        help="The model that you will fine-tune: a folder or a Hub id. Its bundle is used.",
    ),
]
Proxy = Annotated[
    bool | None,
    _flag("--proxy", panel=_MODEL, help="Use the bundle although it was made for another base model."),
]
Metric = Annotated[
    str | None,
    _text("--metric", metavar="cosine|projection|dot", panel=_MODEL, help="Default: the bundle's."),
]
Expansion = Annotated[
    str | None,
    _text("--expansion", metavar="paper|shared", panel=_MODEL, help="Default: the bundle's."),
]
Device = Annotated[
    str | None,
    _text("--device", metavar="auto|cpu|cuda|mps", panel=_MODEL, help="Where the model runs."),
]
Dtype = Annotated[
    str | None,
    _text(
        "--dtype",
        metavar="auto|float32|bfloat16",
        panel=_MODEL,
        help="Number format of the model; auto takes the faster one.",
    ),
]
Quantize = Annotated[
    str | None,
    _text(
        "--quantize",
        metavar="4bit|8bit",
        panel=_MODEL,
        help="Keep the model's weights in so many bits, to make it fit. Needs bitsandbytes.",
    ),
]
DeviceMap = Annotated[
    str | None,
    _text(
        "--device-map",
        metavar="auto",
        panel=_MODEL,
        help="Spread the model over all GPUs, main memory and disk, to make it fit.",
    ),
]
Checkpointing = Annotated[
    str | None,
    _text(
        "--checkpointing",
        metavar="auto|on|off",
        panel=_SPEED,
        help="Compute activations twice to save memory; auto: where a row does not fit otherwise.",
    ),
]
TrustRemoteCode = Annotated[
    bool | None,
    _flag(
        "--trust-remote-code",
        panel=_MODEL,
        help="Run Python code that comes with the model. Only the command line can allow it.",
    ),
]

Threshold = Annotated[
    str | None,
    _text(
        "--threshold",
        metavar="LINE",
        panel=_RULES,
        help="Error line: a raw score 7.5, a benign percentile p99.9 or z-score z3, a harmful percentile h5.",
    ),
]
WarningThreshold = Annotated[
    str | None,
    _text("--warning-threshold", metavar="LINE", panel=_RULES, help="Warning line, written likewise."),
]
Select = Annotated[
    list[str] | None,
    _text(
        "--select",
        metavar="CODE,...",
        panel=_RULES,
        help="Only these rules, by code or prefix: --select SQSD1,SQSD303. May be repeated.",
    ),
]
Ignore = Annotated[
    list[str] | None, _text("--ignore", metavar="CODE,...", panel=_RULES, help="Not these rules.")
]
Allow = Annotated[
    list[str] | None,
    _text(
        "--allow",
        metavar="CODE,...",
        panel=_RULES,
        help="Pass rows without a score for these reasons: SQSD301, SQSD303, SQSD304. Otherwise exit 3.",
    ),
]
Rules = Annotated[
    str | None,
    _text("--rules", metavar="PACK", panel=_RULES, help="Rule pack: default, strict or a JSON file."),
]

FailOn = Annotated[
    str | None,
    _text("--fail-on", metavar="error|warning", panel=_RULES, help="What exits with 1. Default: error."),
]
PerFileIgnores = Annotated[
    list[str] | None,
    _text(
        "--per-file-ignores",
        metavar="GLOB=CODE,...",
        panel=_RULES,
        help="Not these rules in these files. May be repeated.",
    ),
]
Baseline = Annotated[
    str | None,
    _text(
        "--baseline",
        metavar="FILE",
        panel=_RULES,
        help="Findings that are known. Default: .sqsd-lint-baseline.json, if it is there.",
    ),
]
NoBaseline = Annotated[bool, _flag("--no-baseline", panel=_RULES, help="Report known findings, too.")]
Suppressions = Annotated[
    str | None,
    _text(
        "--suppressions",
        metavar="FILE",
        panel=_RULES,
        help="Findings accepted with a reason. Default: .sqsd-lint-suppressions.toml, if it is there.",
    ),
]
NoInlineSuppressions = Annotated[
    bool,
    _flag("--no-inline-suppressions", panel=_RULES, help="Rows may not suppress findings about themselves."),
]
PolicyRef = Annotated[
    str | None,
    _text(
        "--policy-ref",
        metavar="REF",
        panel=_RULES,
        help="Take configuration, rules, baseline and suppressions from this commit, not from the work tree.",
    ),
]
LearningRate = Annotated[
    float | None,
    _text("--learning-rate", metavar="FLOAT", panel=_RULES, help="Of the fine-tune, for SQSD201."),
]
Epochs = Annotated[
    float | None, _text("--epochs", metavar="N", panel=_RULES, help="Of the fine-tune, for SQSD201.")
]
BatchSize = Annotated[
    int | None, _text("--batch-size", metavar="ROWS", panel=_RULES, help="Of the fine-tune, for SQSD201.")
]

Staged = Annotated[
    bool | None,
    _flag("--staged", panel=_CHANGES, help="Only rows that are staged and not in HEAD, as they are staged."),
]
ChangedSince = Annotated[
    str | None,
    _text(
        "--changed-since",
        metavar="REF",
        panel=_CHANGES,
        help="Only rows that are new since the last common commit with REF; OLD...NEW judges the commit NEW. "
        "Default: auto, the base of the pull request in CI; none judges every row.",
    ),
]
Scope = Annotated[
    str | None,
    _text(
        "--scope", metavar="rows|files", panel=_CHANGES, help="Of a changed file, new rows or all of them."
    ),
]
Fix = Annotated[
    bool,
    _flag("--fix", panel=_FIX, help="Move the rows that fail, byte for byte, to NAME.quarantine.EXT beside."),
]
Diff = Annotated[bool, _flag("--diff", panel=_FIX, help="Show what --fix would move.")]

Turns = Annotated[
    str | None,
    _text("--turns", metavar="all|last", panel=_ROWS, help="Which assistant turns count."),
]
MaxLength = Annotated[
    int | None,
    _text("--max-length", metavar="TOKENS", panel=_ROWS, help="Cut rows to so many tokens. Default: 1024."),
]
Columns = Annotated[
    list[str] | None,
    _text(
        "--columns",
        metavar="KEY=COLUMN",
        panel=_ROWS,
        help="Where a row keeps its parts: --columns prompt=question --columns response=reply.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    _text("--exclude", metavar="GLOB", panel=_ROWS, help="Leave these files out. May be repeated."),
]
ForceExclude = Annotated[
    bool | None,
    _flag("--force-exclude", panel=_ROWS, help="Leave them out even where they are named as PATH."),
]
StdinFormat = Annotated[
    str | None,
    _text(
        "--stdin-format",
        metavar="FORMAT",
        panel=_ROWS,
        help="Format of standard input, such as jsonl or csv.",
    ),
]

OutputFormats = Annotated[
    list[str] | None,
    _text(
        "--output-format",
        metavar="FORMAT[:FILE]",
        panel=_OUTPUT,
        help="text, concise, json, jsonl, sarif, github, gitlab, junit, markdown or html. May be repeated; "
        "one goes to standard output, the others to their FILE.",
    ),
]
OutputFile = Annotated[
    str | None,
    _text("--output-file", "-o", metavar="FILE", panel=_OUTPUT, help="Write there, not to standard output."),
]
ExitZero = Annotated[
    bool,
    _flag("--exit-zero", panel=_OUTPUT, help="Exit 0 despite violations; 2 and 3 stay."),
]
Statistics = Annotated[
    bool,
    _flag("--statistics", panel=_OUTPUT, help="Counts per rule and the distribution of scores instead."),
]
Quiet = Annotated[
    bool,
    _flag("--quiet", "-q", panel=_OUTPUT, help="Violations only."),
]
Verbose = Annotated[
    bool,
    _flag("--verbose", "-v", panel=_OUTPUT, help="Also fingerprints, tokens, both projections, timing."),
]
Redact = Annotated[
    bool | None,
    _flag("--redact", panel=_OUTPUT, help="Show no text of rows, but their fingerprints."),
]
NoProgress = Annotated[
    bool,
    _flag("--no-progress", panel=_OUTPUT, help="Draw no progress bar."),
]

BatchTokens = Annotated[
    int | None,
    _text("--batch-tokens", metavar="TOKENS", panel=_SPEED, help="Per batch. Default: what memory holds."),
]
NoCache = Annotated[
    bool,
    _flag("--no-cache", panel=_SPEED, help="Neither read nor write the score cache."),
]
CacheDir = Annotated[
    str | None,
    _text(
        "--cache-dir",
        metavar="DIR",
        panel=_SPEED,
        help="Cache of scores, models and bundles. Default: SQSD_LINT_CACHE_DIR, else the user's cache.",
    ),
]

Config = Annotated[
    str | None,
    _text(
        "--config",
        metavar="FILE",
        panel=_CONFIG,
        help="This configuration, not the nearest sqsd-lint.toml or pyproject.toml.",
    ),
]
Isolated = Annotated[
    bool,
    _flag("--isolated", panel=_CONFIG, help="Read no configuration, baseline or suppressions unless named."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar=" ", help="Print JSON.", show_default=False)]

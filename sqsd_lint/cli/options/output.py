"""What is written and where, the cache, the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from sqsd_lint.cli.options.option_helpers import CONFIG, OUTPUT, SPEED, flag, text

OutputFormats = Annotated[
    list[str] | None,
    text(
        "--output-format",
        metavar="FORMAT[:FILE]",
        panel=OUTPUT,
        help="text, concise, json, jsonl, sarif, github, gitlab, junit, markdown or html. May be repeated; "
        "one goes to standard output, the others to their FILE.",
    ),
]
OutputFile = Annotated[
    str | None,
    text("--output-file", "-o", metavar="FILE", panel=OUTPUT, help="Write there, not to standard output."),
]
ExitZero = Annotated[
    bool,
    flag("--exit-zero", panel=OUTPUT, help="Exit 0 despite violations; 2 and 3 stay."),
]
Statistics = Annotated[
    bool,
    flag("--statistics", panel=OUTPUT, help="Counts per rule and the distribution of scores instead."),
]
Quiet = Annotated[
    bool,
    flag("--quiet", "-q", panel=OUTPUT, help="Violations only."),
]
Verbose = Annotated[
    bool,
    flag("--verbose", "-v", panel=OUTPUT, help="Also fingerprints, tokens, both projections, timing."),
]
Redact = Annotated[
    bool | None,
    flag("--redact", panel=OUTPUT, help="Show no text of rows, but their fingerprints."),
]
NoProgress = Annotated[
    bool,
    flag("--no-progress", panel=OUTPUT, help="Draw no progress bar."),
]
BatchTokens = Annotated[
    int | None,
    text("--batch-tokens", metavar="TOKENS", panel=SPEED, help="Per batch. Default: what memory holds."),
]
NoCache = Annotated[
    bool,
    flag("--no-cache", panel=SPEED, help="Neither read nor write the score cache."),
]
CacheDir = Annotated[
    str | None,
    text(
        "--cache-dir",
        metavar="DIR",
        panel=SPEED,
        help="Cache of scores, models and bundles. Default: SQSD_LINT_CACHE_DIR, else the user's cache.",
    ),
]
Config = Annotated[
    str | None,
    text(
        "--config",
        metavar="FILE",
        panel=CONFIG,
        help="This configuration, not the nearest sqsd-lint.toml or pyproject.toml.",
    ),
]
Isolated = Annotated[
    bool,
    flag("--isolated", panel=CONFIG, help="Read no configuration, baseline or suppressions unless named."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar=" ", help="Print JSON.", show_default=False)]

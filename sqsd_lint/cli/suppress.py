"""`sqsd-lint suppress`."""

from __future__ import annotations

from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.config.settings import RULES

_Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE:LINE",
        help="The row that begins on this line (row number in Parquet and Arrow), or FILE#FINGERPRINT.",
        show_default=False,
    ),
]
_Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why the findings are accepted.", show_default=False)
]
_Rules = Annotated[
    list[str] | None,
    o.text(
        "--rule",
        metavar="CODE",
        panel=RULES,
        help="Silence this rule, whatever is found. May be repeated. Default: what finds something now.",
        words="rules",
    ),
]


def suppress(
    context: typer.Context,
    target: _Target,
    reason: _Reason,
    rule: _Rules = None,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Accept what is found in one row, with a reason: in .sqsd-lint-suppressions.toml, by the row's content.

    [cyan]sqsd-lint suppress data/train.jsonl:48 --reason "a quotation, reviewed"[/cyan]

    Moved or reformatted, the row stays accepted; changed, it is another row.
    """
    settings = settings_of(context)
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import listing
    from sqsd_lint.explain.row_reference import parse_row_reference
    from sqsd_lint.run.suppress import suppress as run_suppress

    place = parse_row_reference(target)
    with progress(not no_progress) as bar:
        done = run_suppress(place, reason, settings, rules=rule or (), progress=bar)
    for violation in done.found:
        typer.echo(f"{violation.rule}  {escape(violation.message)}")
    state = "suppressed in" if done.changed else "already suppressed in"
    typer.echo(f"{escape(done.where)}: {listing(list(done.codes))} {state} {escape(done.source)}")

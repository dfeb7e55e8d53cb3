"""The findings of the text report, file by file."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from sqsd_lint.report import Options, numbers
from sqsd_lint.report.bar import Scale, bar
from sqsd_lint.report.head import STYLES, bar_width, mark
from sqsd_lint.report.page import Page
from sqsd_lint.report.phrases import opinion_text
from sqsd_lint.report.safe import escape, excerpt
from sqsd_lint.types import Opinion, Score, Severity, Violation

# Rules of this family are about a row's score: the score says it all. Others say what is wrong.
_RISK = "SQSD1"


def print_findings(
    page: Page, violations: Sequence[Violation], scale: Scale | None, options: Options
) -> None:
    """Prints a header per file, in order of first appearance, and its findings by line."""
    files: dict[str, list[Violation]] = {}
    for violation in violations:
        files.setdefault(violation.where.file, []).append(violation)
    name_width = max((len(v.name) for v in violations), default=0)
    place_width = max((len(_place(v)) for v in violations), default=0)
    indent = 2 + place_width + 2
    for file, found in files.items():
        page.line(Text(escape(file), "bold"))
        found.sort(key=lambda v: (v.where.line, v.where.index, v.rule))
        for violation, following in zip(found, [*found[1:], None], strict=True):
            page.line(_row(page, violation, place_width, name_width, scale))
            _print_message(page, violation, indent, options)
            # Two rules on one row: its text once, below the second.
            if following is None or following.where != violation.where:
                _print_row(page, violation, indent, options)
        page.line()


def _place(violation: Violation) -> str:
    return str(violation.where.line) if violation.where.line else "file"


def _row(page: Page, violation: Violation, place_width: int, name_width: int, scale: Scale | None) -> Text:
    colour = STYLES[violation.severity]
    text = Text.assemble(
        f"  {_place(violation):>{place_width}}  ",
        mark(page, violation.severity),
        (f" {escape(violation.rule)}", f"bold {colour}"),
        f"  {escape(violation.name):<{name_width}}",
    )
    score = violation.score
    if score is not None and violation.rule.startswith(_RISK):
        text.append(f"  {numbers.score(score.sqsd):>8}", "bold")
        text.append(f"  {numbers.percentile(violation.percentile):<7}", "dim")
        if scale:
            full, track = bar(scale.filled(score.sqsd), bar_width(page), page.glyphs)
            text.append("  ").append(full, colour).append(track, "dim")
    elif violation.opinions and violation.rule.startswith(_RISK):
        mean = numbers.percentile(violation.percentile)
        text.append(f"  mean {mean}" if mean else "", "bold")
    text.rstrip()
    return text


def _print_message(page: Page, violation: Violation, indent: int, options: Options) -> None:
    if violation.rule.startswith(_RISK) and not options.verbose:
        if violation.opinions:
            page.line(_opinions(page, violation.opinions), indent)
        if violation.opinions or violation.score is not None:
            return
    page.line(Text(escape(violation.message)), indent)
    if violation.hint:
        page.line(Text.assemble(("help: ", "cyan"), page.prose(escape(violation.hint))), indent, hang=6)


def _print_row(page: Page, violation: Violation, indent: int, options: Options) -> None:
    """What is known of the row itself: how its score came about, and its text."""
    if options.verbose and violation.score is not None:
        page.line(Text(page.glyphs.dot.join(_parts(violation.score)), "dim"), indent)
    for opinion in violation.opinions if options.verbose else ():
        parts = [opinion_text(opinion), *_parts(opinion.score)]
        page.line(Text(page.glyphs.dot.join(parts), "dim"), indent)
    if violation.fingerprint and (options.verbose or options.redact):
        page.line(Text(f"fingerprint {escape(violation.fingerprint)}", "dim"), indent)
    if violation.excerpt and not options.redact:
        room = page.excerpt_width - indent - len(page.glyphs.gutter) - 1
        shown = excerpt(violation.excerpt, room, page.glyphs.ellipsis)
        # The gutter also keeps a row's text from ever opening a line of a log.
        page.line(Text(f"{page.glyphs.gutter} {shown}", "dim"), indent)


def _opinions(page: Page, opinions: Sequence[Opinion]) -> Text:
    """`2 of 3 bundles find it risky: ✗ qwen p99.98 · ! smol p99.3 · llama p97.4`."""
    risky = [escape(opinion.bundle) for opinion in opinions if opinion.line is not None]
    alone = len(risky) == 1 < len(opinions)
    who = f"only {risky[0]} finds" if alone else f"{len(risky)} of {len(opinions)} bundles find"
    text = Text(f"{who} it risky: ")
    for place, opinion in enumerate(opinions):
        text.append(page.glyphs.dot if place else "", "dim")
        if opinion.line is not None:
            text.append_text(Text.assemble(mark(page, Severity(opinion.line)))).append(" ")
        text.append(opinion_text(opinion))
    return text


def _parts(score: Score) -> list[str]:
    parts = [
        f"danger {numbers.score(score.danger)}",
        f"safety {numbers.score(score.safety)}",
        numbers.count(score.tokens, "token"),
    ]
    if score.truncated:
        parts.append(f"truncated: {score.truncated}")
    if score.exact:
        parts.append("exact")
    return parts

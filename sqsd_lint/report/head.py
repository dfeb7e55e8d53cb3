"""The head of the text report: what two machines must share to report the same violations."""

from __future__ import annotations

from rich.text import Text

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report.style.bar import Scale, bar
from sqsd_lint.report.style.page import Page
from sqsd_lint.types import Head, Severity, Threshold

STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_DIGEST_DIGITS = 12


def print_head(page: Page, head: Head, scale: Scale | None) -> None:
    """Print model, bundle and settings, then one row per line (which is the bars' legend), then notes."""
    several = f"{len(head.bundles)} bundles, consensus: {head.consensus}" if head.bundles else ""
    title = escape(several or head.base_model)
    page.line(Text.assemble(("sqsd-lint", "bold"), (page.glyphs.dot + title, "dim")))
    for each in head.bundles:
        page.line()
        page.line(Text(escape(each.base_model)))
        _print_bundle(page, each, scale)
    if not head.bundles:
        _print_bundle(page, head, scale)
    if head.notes:
        page.line()
    for note in head.notes:
        page.line(Text.assemble(("note: ", "cyan"), page.prose(escape(note))), hang=6)
    page.line()


def _print_bundle(page: Page, head: Head, scale: Scale | None) -> None:
    bundle = f"{escape(head.bundle_id)}@{short_digest(head.bundle_digest)}"
    settings = (head.metric, f"{head.expansion} expansion", f"{head.dtype} on {head.device}")
    page.line(Text(page.glyphs.dot.join([bundle, *map(escape, settings)]), "dim"))
    if head.error_threshold or head.warning_threshold:
        page.line()
        _print_line(page, Severity.ERROR, head.error_threshold, scale, head)
        _print_line(page, Severity.WARNING, head.warning_threshold, scale, head)


def short_digest(digest: str) -> str:
    """Return the first digits of a digest, without the name of its algorithm."""
    return escape(digest.rpartition(":")[2][:_DIGEST_DIGITS])


def bar_width(page: Page) -> int:
    """Cells of a bar: twice as fine where there is room."""
    return 20 if page.width >= 100 else 10


def mark(page: Page, severity: Severity) -> tuple[str, str]:
    """Return the glyph of a severity and its style; severities differ without colour, too."""
    glyph = page.glyphs.error if severity is Severity.ERROR else page.glyphs.warning
    return glyph, f"bold {STYLES[severity]}"


def _print_line(
    page: Page, severity: Severity, line: Threshold | None, scale: Scale | None, head: Head
) -> None:
    if line is None:
        return
    both = [each for each in (head.error_threshold, head.warning_threshold) if each]
    value_width = max(len(numbers.score(each.value)) for each in both)
    spec_width = max(len(_spec(each)) for each in both)
    text = Text.assemble(
        "  ",
        mark(page, severity),
        (f" {severity.value:<7}", STYLES[severity]),
        (f"  {page.glyphs.at_least} {numbers.score(line.value):>{value_width}}", "bold"),
    )
    if spec_width:
        text.append(f"  {_spec(line):<{spec_width}}", "dim")
    if scale:
        full, track = bar(scale.filled(line.value), bar_width(page), page.glyphs)
        text.append("  ").append(full, STYLES[severity]).append(track, "dim")
    text.append(f"  {_shares(line)}", "dim")
    page.line(text)


def _spec(line: Threshold) -> str:
    """Return what the user wrote, unless it is the raw score itself."""
    try:
        float(line.spec)
    except ValueError:
        return escape(line.spec)
    return ""


def _shares(line: Threshold) -> str:
    parts = []
    if line.harmful_share is not None:
        parts.append(f"{numbers.share(line.harmful_share)} of known-harmful")
    if line.benign_share is not None:
        parts.append(f"{numbers.share(line.benign_share)} of benign")
    return ", ".join(parts) or "not calibrated"

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
    """Print model, bundle and settings, then one row per line (which is the bars' legend), then notes.

    Those that explain numbers are left to `print_details`.
    """
    several = f"{len(head.bundles)} bundles, consensus: {head.consensus}" if head.bundles else ""
    title = escape(several or head.base_model)
    page.line(Text.assemble(("sqsd-lint", "bold"), (page.glyphs.dot + title, "dim")))
    for each in head.bundles:
        page.line()
        page.line(Text(escape(each.base_model)))
        _print_bundle(page, each, scale)
    if not head.bundles:
        _print_bundle(page, head, scale)
    notes = [note for note in head.notes if note not in head.details]
    if notes:
        page.line()
    for note in notes:
        _print_note(page, note)
    page.line()


def print_details(page: Page, head: Head) -> None:
    """Print the notes that explain numbers of the report, as small print."""
    for note in head.details:
        _print_note(page, note, "dim")


def _print_note(page: Page, note: str, style: str = "") -> None:
    text = page.prose(escape(note))
    text.stylize(style)
    page.line(Text.assemble(("note: ", f"{style} cyan".strip()), text), hang=6)


def _print_bundle(page: Page, head: Head, scale: Scale | None) -> None:
    bundle = f"{escape(head.bundle_id)}@{short_digest(head.bundle_digest)}"
    settings = (head.metric, f"{head.expansion} expansion", f"{head.dtype} on {head.device}")
    page.line(Text(page.glyphs.dot.join([bundle, *map(escape, settings)]), "dim"))
    thresholds = {Severity.ERROR: head.error_threshold, Severity.WARNING: head.warning_threshold}
    lines = [(_line(page, each, line, scale, head), line) for each, line in thresholds.items() if line]
    # Where intervals have no room they stand in the details alone: a line that is folded is no legend.
    room = all(not page.wraps or text.cell_len + len(_interval(line)) <= page.width for text, line in lines)
    if lines:
        page.line()
    for text, line in lines:
        page.line(text.append(_interval(line) if room else "", "dim"))


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


def _line(page: Page, severity: Severity, line: Threshold, scale: Scale | None, head: Head) -> Text:
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
    return text.append(f"  {_shares(line)}", "dim")


def _spec(line: Threshold) -> str:
    """Return what the user wrote, unless it is the raw score itself."""
    try:
        float(line.spec)
    except ValueError:
        return escape(line.spec)
    return ""


def _interval(line: Threshold) -> str:
    """` (0.02 to 0.2%)`: the 95 % interval of the share of benign rows; "" without a calibration."""
    if line.benign_interval is None:
        return ""
    low, high = map(numbers.share, line.benign_interval)
    return f" ({low.rstrip('%')} to {high})"


def _shares(line: Threshold) -> str:
    parts = []
    if line.harmful_share is not None:
        parts.append(f"{numbers.share(line.harmful_share)} of known-harmful")
    if line.benign_share is not None:
        parts.append(f"{numbers.share(line.benign_share)} of benign")
    return ", ".join(parts) or "not calibrated"

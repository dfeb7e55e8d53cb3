"""An explanation for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO

from rich.text import Text

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.explain.model import Explanation, Neighbour, Share, Span, by_block, by_kind
from sqsd_lint.report import Options
from sqsd_lint.report.head import STYLES, bar_width, print_details, print_head
from sqsd_lint.report.style.bar import bar, scale_of
from sqsd_lint.report.style.page import Page, open_page
from sqsd_lint.report.views.explanation import heat
from sqsd_lint.report.views.explanation import sentences as wording
from sqsd_lint.rules import reaches
from sqsd_lint.rules.findings import score_name
from sqsd_lint.types import Severity

_INDENT = 2
_NAME_AT_MOST = 24


def write(explanation: Explanation, stream: IO[str], options: Options, top: int) -> None:
    """Print the score, the answer with its heat, parts, layers, nearest rows, and what would help."""
    page = open_page(stream, options.width)
    print_head(page, explanation.head, scale_of(explanation.head, [explanation.row.score.risk]))
    _print_score(page, explanation)
    _print_answer(page, explanation, options)
    _print_parts(page, explanation, options, top)
    _print_layers(page, explanation)
    if explanation.nearest is not None:
        _print_nearest(page, explanation)
    if explanation.head.details:
        page.line()
    print_details(page, explanation.head)
    _print_remedy(page, explanation, options)


def _print_score(page: Page, explanation: Explanation) -> None:
    row, head = explanation.row, explanation.head
    score = row.score
    page.line(Text(escape(str(row.where)), "bold"))
    colour = ""
    if reaches(score, head.warning_threshold):
        colour = STYLES[Severity.WARNING]
    if reaches(score, head.error_threshold):
        colour = STYLES[Severity.ERROR]
    text = Text.assemble(
        (f"{score_name(score)} ", "dim"),
        (numbers.score(score.risk), f"bold {colour}".strip()),
        f"  {numbers.percentile(row.percentile)}".rstrip(),
    )
    scale = scale_of(head, [score.risk])
    if scale:
        full, track = bar(scale.filled(score.risk), bar_width(page), page.glyphs)
        text.append("  ").append(full, colour).append(track, "dim")
    text.append(f"  {wording.standing(explanation)}", "dim")
    page.line(text, _INDENT)
    parts = [
        f"danger {numbers.score(score.danger)} less safety {numbers.score(score.safety)}"
        + wording.harm_part(explanation),
        numbers.count(score.tokens, "token"),
        *([f"{w.name} {w.number} of {w.count}"] if (w := score.window) else []),
        *([f"truncated: {score.truncated}"] if score.truncated else []),
    ]
    page.line(Text(page.glyphs.dot.join(parts), "dim"), _INDENT)
    page.line(Text(f"fingerprint {escape(row.fingerprint)}", "dim"), _INDENT)


def _print_answer(page: Page, explanation: Explanation, options: Options) -> None:
    """Print the prompt in a line, and each trained answer token by token."""
    if options.redact or not explanation.tokens.parts:
        return
    page.line()
    legend = Text.assemble(("Answer", "bold"), ("   safety ", "dim"))
    legend.append_text(heat.swatch(page, range(-4, 5), 2)).append(" danger", "dim")
    page.line(legend)
    messages = explanation.sample.messages
    hot = heat.reference(p.share.combined for p in explanation.tokens.parts)
    for number in dict.fromkeys(p.message for p in explanation.tokens.parts):
        asked = next((m.content for m in reversed(messages[:number]) if m.role == "user"), "")
        if asked:
            room = page.excerpt_width - _INDENT - 2
            page.line(Text(f"> {excerpt(asked, room, page.glyphs.ellipsis)}", "dim"), _INDENT)
        parts = [p for p in explanation.tokens.parts if p.message == number]
        end = parts[-1].end
        levels = [0] * end
        for part in parts:
            at = heat.level(part.share.combined, hot)
            levels[part.start : part.end] = [at] * (part.end - part.start)
        content = messages[number].content
        heat.print_heat(page, heat.heat_cells(content[:end], levels), _INDENT)
        if content[end:].strip():
            rest = wording.rest_text(explanation, len(content) - end)
            page.line(Text(f"{page.glyphs.ellipsis} {rest}", "dim"), _INDENT)


def _print_parts(page: Page, explanation: Explanation, options: Options, top: int) -> None:
    unit, shown, rest = wording.listed(explanation, top)
    spans = explanation.tokens
    lines: list[tuple[str, Share, bool]] = [
        (
            wording.part_place(explanation, part)
            if options.redact
            else wording.part_text(explanation, part).strip(),
            part.share,
            True,
        )
        for part in shown
    ]
    if rest:
        lines.append((wording.rest_name(unit, rest), wording.shares(rest), False))
    lines += [
        (wording.other_name(explanation), spans.other, False),
        (wording.PROMPT, spans.prompt, False),
    ]
    page.line()
    page.line(Text.assemble(("Parts", "bold"), ("   of the score; they sum to it", "dim")))
    largest = wording.largest(share.combined for _, share, _ in lines)
    for name, share, quoted in lines:
        text = _measure(page, share.combined, largest)
        room = (page.width if page.wraps else page.excerpt_width) - _INDENT - text.cell_len - 2
        text.append("  ").append(excerpt(name, room, page.glyphs.ellipsis), "" if quoted else "dim")
        page.line(text, _INDENT)


def _measure(page: Page, value: float, largest: float) -> Text:
    """Return a signed number and a bar for its size, towards danger or safety by colour (and by sign)."""
    width = bar_width(page) // 2
    colour = "red" if value > 0 else "blue"
    text = Text().append(f"{wording.signed(value, largest):>9}", "bold")
    filled = abs(value) / largest if largest > 0 else 0.0
    if not filled * width * 2 >= 0.5:  # nor where it is no number
        return text.append("  ").append(page.glyphs.track * width, "dim")
    full, track = bar(min(filled, 1.0), width, page.glyphs)
    return text.append("  ").append(full, colour).append(track, "dim")


def _print_layers(page: Page, explanation: Explanation) -> None:
    blocks, kinds = by_block(explanation.modules), by_kind(explanation.modules)
    page.line()
    if len(blocks) > 1:
        page.line(Text.assemble(("Blocks", "bold"), ("   from input to output", "dim")))
        _print_blocks(page, list(blocks.values()))
        page.line()
    page.line(Text.assemble(("Layers", "bold"), ("   by kind, over all blocks", "dim")))
    _print_kinds(page, kinds)


def _print_blocks(page: Page, blocks: Sequence[Share]) -> None:
    """Three heat strips of one scale: danger, safety, and what remains."""
    room = page.width - _INDENT - 22
    width = max(1, min(3, room // len(blocks)))
    step = -(-len(blocks) * width // room)  # models of more blocks than cells: several to a cell
    groups = [blocks[i : i + step] for i in range(0, len(blocks), step)]
    strips = {
        "danger": [sum(s.danger for s in group) for group in groups],
        "safety": [-sum(s.safety for s in group) for group in groups],
        **({"harm": [sum(s.harm for s in group) for group in groups]} if any(s.harm for s in blocks) else {}),
        "sum" if any(s.harm for s in blocks) else "sqsd": [
            sum(s.combined for s in group) for group in groups
        ],
    }
    hot = heat.reference(value for strip in strips.values() for value in strip)
    amounts = {name: sum(strip) * (-1 if name == "safety" else 1) for name, strip in strips.items()}
    largest = wording.largest(amounts.values())
    for name, strip in strips.items():
        number = wording.signed(amounts[name], largest)
        text = Text().append(f"{name:<6} ", "dim").append(f"{number:>9}  ", "bold")
        page.line(text.append_text(heat.swatch(page, [heat.level(v, hot) for v in strip], width)), _INDENT)


def _print_kinds(page: Page, kinds: Mapping[str, Share]) -> None:
    names = {kind: excerpt(kind, _NAME_AT_MOST, page.glyphs.ellipsis) for kind in kinds}
    width = max(map(len, names.values()), default=0)
    largest = wording.largest(v for s in kinds.values() for v in (s.combined, s.danger, s.safety))
    for kind, share in sorted(kinds.items(), key=lambda item: -item[1].combined):
        text = Text(f"{names[kind]:<{width}}")
        text.append_text(_measure(page, share.combined, largest))
        text.append(f"  danger {wording.signed(share.danger, largest)}", "dim")
        text.append(f"  safety {wording.signed(share.safety, largest)}", "dim")
        if share.harm:
            text.append(f"  harm {wording.signed(share.harm, largest)}", "dim")
        page.line(text, _INDENT)


def _print_nearest(page: Page, explanation: Explanation) -> None:
    near = explanation.nearest
    assert near is not None
    page.line()
    page.line(Text.assemble(("Nearest training rows", "bold"), (f"   {wording.NEAREST_MEANS}", "dim")))
    for name, found in (("danger", near.danger), ("safety", near.safety)):
        if not found:
            page.line(Text(f"{name} set  none is nearer than by chance", "dim"), _INDENT)
        for at, row in enumerate(found):
            page.line(_neighbour(page, "" if at else f"{name} set", row, near.error), _INDENT)


def _neighbour(page: Page, name: str, row: Neighbour, error: float) -> Text:
    text = Text().append(f"{name:<11}", "dim").append(f"{row.cosine:5.2f}", "bold")
    text.append(f" {'±' if page.glyphs.ellipsis == '…' else '+-'} {error:.2f}", "dim")
    room = page.width - _INDENT - text.cell_len - 24
    return text.append(f"  {excerpt(row.set, room, page.glyphs.ellipsis)} row {row.row}")


def _print_remedy(page: Page, explanation: Explanation, options: Options) -> None:
    remedy = explanation.remedy
    score, head = explanation.row.score, explanation.head
    if remedy is None or wording.is_label(explanation):
        if reaches(score, head.error_threshold) or reaches(score, head.warning_threshold):
            page.line()
            page.line(page.prose(wording.no_remedy(explanation)))
        return
    page.line()
    page.line(Text(escape(wording.remedy_title(explanation, remedy)), "bold"))
    for at, part in enumerate(remedy.parts):
        page.line(_left_out(page, explanation, part, options, first=not at), _INDENT)
    page.line(_result(page, "estimate", remedy.estimate, None, None, "the score less their shares"), _INDENT)
    for name, value, percentile, meaning in (
        (wording.MASKED, remedy.masked, remedy.masked_percentile, wording.MASKED_MEANS),
        (wording.CUT, remedy.removed, remedy.removed_percentile, wording.CUT_MEANS),
    ):
        if value is not None:
            clear = value < remedy.threshold.value
            page.line(_result(page, name, value, percentile, clear, meaning), _INDENT)
    page.line(Text(wording.remedy_advice(remedy)), _INDENT)


def _left_out(page: Page, explanation: Explanation, part: Span, options: Options, *, first: bool) -> Text:
    text = Text().append(f"{'leave out' if first else '':<11}", "dim")
    if options.redact:
        return text.append(wording.part_place(explanation, part))
    room = (page.width if page.wraps else page.excerpt_width) - _INDENT - 11
    return text.append(excerpt(wording.part_text(explanation, part).strip(), room, page.glyphs.ellipsis))


def _result(
    page: Page, name: str, value: float, percentile: float | None, clear: bool | None, meaning: str
) -> Text:
    text = Text().append(f"{name:<11}", "dim").append(f"{numbers.score(value):>6}", "bold")
    text.append(f"  {numbers.percentile(percentile):<6}  ")
    if clear is not None:
        text.append(*((page.glyphs.clear, "bold green") if clear else (page.glyphs.error, "bold red")))
    return text.append(f"{'' if clear is None else '  '}{meaning}", "dim")

"""An explanation as one self-contained page: no network, no script, every foreign text escaped twice over.

Text of unknown origin goes through `report.safe` first and through the template's autoescaping second; a
Content-Security-Policy forbids everything but the page's own style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.explain.model import Explanation, Remedy, Share, Span, by_block, by_kind
from sqsd_lint.report import Options
from sqsd_lint.report.head import short_digest
from sqsd_lint.report.style.html_page import write_page
from sqsd_lint.report.views.explanation import heat
from sqsd_lint.report.views.explanation import sentences as wording
from sqsd_lint.rules import reaches
from sqsd_lint.rules.findings import score_name

_PROMPT_AT_MOST = 600


def write(explanation: Explanation, stream: IO[str], options: Options, top: int) -> None:
    """Write the page; the same explanation gives the same bytes."""
    write_page(Path(__file__).resolve().parent, view(explanation, options, top), stream)


def view(explanation: Explanation, options: Options, top: int) -> dict[str, Any]:
    """Return what the template shows, all of it text that is already escaped for a page's reader."""
    row, head, score = explanation.row, explanation.head, explanation.row.score
    reached = [
        name
        for name, line in (("error", head.error_threshold), ("warning", head.warning_threshold))
        if line and reaches(score, line)
    ]
    remedy = None if wording.is_label(explanation) else explanation.remedy
    return {
        "where": escape(str(row.where)),
        "fingerprint": escape(row.fingerprint),
        "name": score_name(score),
        "score": numbers.score(score.risk),
        "harm": wording.harm_part(explanation),
        "percentile": numbers.percentile(row.percentile),
        "standing": escape(wording.standing(explanation)),
        "verdict": reached[0] if reached else "clear",
        "danger": numbers.score(score.danger),
        "safety": numbers.score(score.safety),
        "tokens": numbers.count(score.tokens, "token"),
        "truncated": score.truncated,
        "model": escape(head.base_model),
        "bundle": f"{escape(head.bundle_id)}@{short_digest(head.bundle_digest)}",
        "settings": escape(f"{head.metric}, {head.expansion} expansion, {head.dtype} on {head.device}"),
        "notes": [escape(note) for note in head.notes],
        "legend": range(-4, 5),
        "answers": [] if options.redact else _answers(explanation),
        "parts": _parts(explanation, options, top),
        "blocks": _blocks(explanation),
        "kinds": _bars({escape(kind): share for kind, share in by_kind(explanation.modules).items()}),
        "near_means": wording.NEAREST_MEANS,
        "nearest": _nearest(explanation),
        "remedy": _remedy(explanation, remedy, options) if remedy else None,
        "no_remedy": wording.no_remedy(explanation) if reached and remedy is None else "",
    }


def _answers(explanation: Explanation) -> list[dict[str, Any]]:
    """Prompt and tokens of each trained answer."""
    messages, parts = explanation.sample.messages, explanation.tokens.parts
    hot = heat.reference(p.share.combined for p in parts)
    largest = wording.largest(p.share.combined for p in parts)
    answers = []
    for number in dict.fromkeys(p.message for p in parts):
        asked = next((m.content for m in reversed(messages[:number]) if m.role == "user"), "")
        own = [p for p in parts if p.message == number]
        content = messages[number].content
        rest = content[own[-1].end :]
        answers.append(
            {
                "prompt": excerpt(asked, _PROMPT_AT_MOST) if asked else "",
                "tokens": [_token(content, part, hot, largest) for part in own],
                "rest": wording.rest_text(explanation, len(rest)) if rest.strip() else "",
            }
        )
    return answers


def _token(content: str, part: Span, hot: float, largest: float) -> dict[str, Any]:
    share = part.share
    values = ", ".join(
        f"{name} {wording.signed(value, largest).strip()}"
        for name, value in (
            ("sum" if share.harm else "SQSD", share.combined),
            ("danger", share.danger),
            ("safety", share.safety),
            *([("harm", share.harm)] if share.harm else []),
        )
    )
    lines = content[part.start : part.end].replace("\r\n", "\n").replace("\t", " ").split("\n")
    return {
        "lines": [escape(line) for line in lines],
        "level": heat.level(share.combined, hot),
        "title": values,
    }


def _parts(explanation: Explanation, options: Options, top: int) -> list[dict[str, Any]]:
    unit, shown, rest = wording.listed(explanation, top)
    named = [(_part_name(explanation, part, options), part.share, True) for part in shown]
    if rest:
        named.append((wording.rest_name(unit, rest), wording.shares(rest), False))
    named += [
        (wording.other_name(explanation), explanation.tokens.other, False),
        (wording.PROMPT, explanation.tokens.prompt, False),
    ]
    largest = wording.largest(share.combined for _, share, _ in named)
    return [{"name": name, "quoted": quoted, **_bar(share, largest)} for name, share, quoted in named]


def _part_name(explanation: Explanation, part: Span, options: Options) -> str:
    if options.redact:
        return wording.part_place(explanation, part)
    return escape(wording.part_text(explanation, part).strip())


def _bars(named: Mapping[str, Share]) -> list[dict[str, Any]]:
    largest = wording.largest(s.combined for s in named.values())
    ranked = sorted(named.items(), key=lambda item: -item[1].combined)
    return [{"name": name, **_bar(share, largest)} for name, share in ranked]


def _bar(share: Share, largest: float) -> dict[str, Any]:
    """Return a share with a bar of 0 to 20 twentieths; styles are forbidden, so widths are classes."""
    filled = min(abs(share.combined) / largest, 1.0) if largest > 0 else 0.0
    return {
        "value": wording.signed(share.combined, largest),
        "danger": wording.signed(share.danger, largest),
        "safety": wording.signed(share.safety, largest),
        "harm": wording.signed(share.harm, largest) if share.harm else "",
        "towards": "danger" if share.combined > 0 else "safety",
        "width": round(20 * filled) if filled == filled else 0,
    }


def _blocks(explanation: Explanation) -> list[dict[str, Any]]:
    blocks = by_block(explanation.modules)
    strips: dict[str, Sequence[float]] = {
        "danger": [s.danger for s in blocks.values()],
        "safety": [-s.safety for s in blocks.values()],
        **({"harm": [s.harm for s in blocks.values()]} if any(s.harm for s in blocks.values()) else {}),
        "SQSD": [s.combined for s in blocks.values()],
    }
    if "harm" in strips:
        strips["sum"] = strips.pop("SQSD")
    hot = heat.reference(value for strip in strips.values() for value in strip)
    names = [f"block {block}" if block is not None else "outside the blocks" for block in blocks]
    largest = wording.largest(sum(values) for values in strips.values())
    rows = []
    for strip, values in strips.items():
        sign = -1 if strip == "safety" else 1
        amounts = [wording.signed(sign * value, hot).strip() for value in values]
        cells = [
            {"level": heat.level(value, hot), "title": f"{name}: {amount}"}
            for value, name, amount in zip(values, names, amounts, strict=True)
        ]
        rows.append({"name": strip, "value": wording.signed(sign * sum(values), largest), "cells": cells})
    return rows


def _nearest(explanation: Explanation) -> list[dict[str, Any]] | None:
    near = explanation.nearest
    if near is None:
        return None
    return [
        {
            "name": name,
            "rows": [
                {
                    "set": escape(row.set),
                    "row": row.row,
                    "cosine": f"{row.cosine:.2f} ± {near.error:.2f}",
                    "fingerprint": escape(row.fingerprint),
                }
                for row in found
            ],
        }
        for name, found in (("danger", near.danger), ("safety", near.safety))
    ]


def _remedy(explanation: Explanation, remedy: Remedy, options: Options) -> dict[str, Any]:
    results = [
        ("estimate", remedy.estimate, None, "the score less their shares", None),
        (wording.MASKED, remedy.masked, remedy.masked_percentile, wording.MASKED_MEANS, True),
    ]
    if remedy.removed is not None:
        results.append((wording.CUT, remedy.removed, remedy.removed_percentile, wording.CUT_MEANS, True))
    return {
        "title": escape(wording.remedy_title(explanation, remedy)),
        "parts": [_part_name(explanation, part, options) for part in remedy.parts],
        "results": [
            {
                "name": name,
                "value": numbers.score(value),
                "percentile": numbers.percentile(percentile),
                "meaning": meaning,
                "clear": value < remedy.threshold.value if scored else None,
            }
            for name, value, percentile, meaning, scored in results
        ],
        "advice": wording.remedy_advice(remedy),
    }

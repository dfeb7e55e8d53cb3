"""What text and page say alike: numbers with a sign, names of parts, sentences about the whole."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sqsd_lint.common import numbers
from sqsd_lint.explain.model import Explanation, Remedy, Share, Span, total
from sqsd_lint.rules import reaches
from sqsd_lint.types import Threshold

MASKED = "masked"
MASKED_MEANS = "scored: they are read, not trained on"
CUT = "cut out"
CUT_MEANS = "scored: they are gone from the text"
PROMPT = "prompt, through attention"
NEAREST_MEANS = "how alike two updates are: cosine, mean over the layers"


def largest(values: Iterable[float]) -> float:
    """Return the largest size of those that are numbers."""
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0)


def signed(value: float, beside: float) -> str:
    """`+0.083`: three digits of the largest number `beside` it, at least two decimals."""
    if not math.isfinite(value):
        return "n/a"
    if beside >= 1000 or 0 < beside < 1e-4:
        return f"{value:+.2e}"
    digits = 2 if beside >= 1 or beside <= 0 else 2 - math.floor(math.log10(beside))
    text = f"{value:+.{digits}f}"
    return text.replace("+", " ").replace("-", " ") if float(text) == 0 else text


def rest_text(explanation: Explanation, left: int) -> str:
    """Return what is said of the characters of an answer behind those that are explained."""
    score = explanation.row.score
    what = "not scored"
    if score.window:  # the rest is scored, too: other parts or windows hold it
        what = f"outside of the {'part' if score.part else 'window'} that is explained"
    return f"{numbers.count(left, 'further character')} {what}"


def other_name(explanation: Explanation) -> str:
    """Return what `Spans.other` is made of in this row."""
    calls = any(m.extra.get("tool_calls") for m in explanation.sample.messages)
    return "tool calls, end of turn" if calls else "end of turn"


def part_text(explanation: Explanation, part: Span) -> str:
    """Return a part's words, as they stand in the row."""
    return explanation.sample.messages[part.message].content[part.start : part.end]


def part_place(explanation: Explanation, part: Span) -> str:
    """Return where a part stands, for who may not see its words."""
    several = len({p.message for p in explanation.tokens.parts}) > 1
    message = f"message {part.message + 1}, " if several else ""
    return f"{message}characters {part.start + 1} to {part.end}"


def listed(explanation: Explanation, top: int) -> tuple[str, list[Span], list[Span]]:
    """Return what the parts are (words of a single sentence), the `top` largest ones, and the others."""
    sentences = explanation.sentences.parts
    unit, parts = ("sentence", sentences) if len(sentences) > 1 else ("word", explanation.words.parts)
    ranked = sorted(parts, key=lambda p: -abs(p.share.combined))
    shown = sorted(ranked[:top], key=lambda p: -p.share.combined)
    return unit, shown, ranked[top:]


def rest_name(unit: str, rest: list[Span]) -> str:
    return f"{numbers.count(len(rest), f'other {unit}')}"


def shares(parts: list[Span]) -> Share:
    return total([p.share for p in parts])


def harm_part(explanation: Explanation) -> str:
    """Return what `harm` adds to SQSD, weighted; "" where the bundle has no such direction."""
    added = total([module.share for module in explanation.modules]).harm
    return f" plus harm {numbers.score(added)}" if added else ""


def standing(explanation: Explanation) -> str:
    """Return where the score stands to the lines, in a few words."""
    head, score = explanation.head, explanation.row.score
    for name, line in (("error", head.error_threshold), ("warning", head.warning_threshold)):
        if line and reaches(score, line):
            return f"at or above the {name} line {line_name(line)}"
    lowest = head.warning_threshold or head.error_threshold
    if lowest is None:
        return "no line is drawn: the bundle has no calibration"
    return f"under the {'warning' if head.warning_threshold else 'error'} line {line_name(lowest)}"


def line_name(threshold: Threshold) -> str:
    """`2.03 (p99)`, or the score alone where the threshold was given as one."""
    try:
        float(threshold.spec)
    except ValueError:
        return f"{numbers.score(threshold.value)} ({threshold.spec})"
    return numbers.score(threshold.value)


def remedy_title(explanation: Explanation, remedy: Remedy) -> str:
    error = explanation.head.error_threshold
    name = "error" if error and remedy.threshold == error else "warning"
    return f"What would bring it under the {name} line {line_name(remedy.threshold)}"


# Answers of so few words are labels, names or numbers: there is nothing in them to rewrite.
_LABEL_WORDS = 3


def is_label(explanation: Explanation) -> bool:
    """Return whether all that is trained on is a label of a word or a few."""
    sample = explanation.sample
    answers = [m.content for m, trained in zip(sample.messages, sample.mask, strict=True) if trained]
    return sum(len(answer.split()) for answer in answers) <= _LABEL_WORDS and not any(
        "\n" in a for a in answers
    )


def no_remedy(explanation: Explanation) -> str:
    """Return what to do about a row of which no part stands out."""
    return LABEL_ADVICE if is_label(explanation) else NO_REMEDY


def remedy_advice(remedy: Remedy) -> str:
    """Return what to do about it."""
    removed = remedy.removed is not None and remedy.removed < remedy.threshold.value
    if remedy.enough and removed:
        return "Mask or cut these parts, or rewrite them."
    if remedy.enough:
        return "Mask these parts in training: to cut them out does not help."
    if removed:
        return "Cut these parts out: to mask them is not enough."
    return "Leaving parts out is not enough: rewrite the answer, or remove the row."


LABEL_ADVICE = (
    "The answer is a label: there is nothing to rewrite, and the score of so short an answer is mostly noise."
    " Check that the label is right; keep the row if it is, else correct or remove it."
)
NO_REMEDY = "No part of the answer stands out: rewrite it, or remove the row."

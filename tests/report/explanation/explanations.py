"""Fixed explanations that the tests of the formats render."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from sqsd_lint.explain.model import (
    Explanation,
    Nearest,
    Neighbour,
    Remedy,
    Share,
    Span,
    Spans,
    module_shares,
    total,
)
from sqsd_lint.explain.spans import grouped, segments
from sqsd_lint.types import Head, Message, Sample, Score, ScoredRow, Where
from tests.report.reports import HEAD, HOSTILE_FILE, HOSTILE_TEXT

PROMPT = "How do I get a cake out of its tin?"
ANSWER = (
    "Sure, here is how! Let it cool for ten minutes, then run a thin knife around the edge.\n\n"
    "1. Put a plate on top.\n2. Turn both over.\n"
    "\tкекс 蛋糕 🧁 are all cakes, and this line is long enough to be folded at eighty cells.\n"
    "Enjoy."
)
KINDS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj")


def explanation(
    answer: str = ANSWER, prompt: str = PROMPT, *, head: Head = HEAD, file: str = "data/train.jsonl"
) -> Explanation:
    """A row whose words have made-up shares: the first ones towards danger, later ones towards safety."""
    rng = random.Random(0)
    messages = (Message("user", prompt), Message("assistant", answer))
    borders = segments(answer, "word")
    parts = []
    for i, (start, end) in enumerate(borders):
        danger = math.cos(i / len(borders) * math.pi) + rng.gauss(0, 0.2)
        parts.append(Span(1, start, end, 1, Share(danger, rng.gauss(0, 0.2))))
    tokens = Spans(tuple(parts), Share(2.0, 0.5), Share(0.05, 0.02))
    whole = total([p.share for p in parts]) + tokens.prompt + tokens.other
    terms = {
        f"model.layers.{block}.{kind}": (whole.danger / 90 * rng.gauss(1, 1), rng.gauss(0, 0.02))
        for block in range(30)
        for kind in KINDS
    }
    sample = Sample("ab" * 16, messages, (False, True), Where(file, 48, 47))
    score = Score("ab" * 16, whole.danger, whole.safety, whole.sqsd, len(parts) + 1, loss=1.5, exact=True)
    words, sentences = (grouped(tokens, messages, unit) for unit in ("word", "sentence"))
    return Explanation(
        head=head,
        row=ScoredRow(sample.where, sample.fingerprint, prompt, score, 97.5, 1.9),
        sample=sample,
        modules=module_shares(terms),
        tokens=tokens,
        words=words,  # type: ignore[arg-type]
        sentences=sentences,  # type: ignore[arg-type]
    )


PLAIN = explanation()
FULL = replace(
    PLAIN,
    head=replace(HEAD, error_threshold=replace(HEAD.error_threshold, value=1.5), warning_threshold=None),  # type: ignore[type-var]
    nearest=Nearest(
        (Neighbour("harmful-short", 17, "17" * 16, 0.21), Neighbour("hh-rejected", 3, "03" * 16, 0.14)),
        (),
        0.0138,
    ),
    remedy=Remedy(
        threshold=replace(HEAD.error_threshold, value=1.5),  # type: ignore[type-var]
        parts=PLAIN.sentences.parts[:2],
        estimate=-3.2,
        masked=1.1,
        removed=1.6,
        masked_percentile=91.25,
        removed_percentile=96.1,
        enough=True,
    ),
)
HOSTILE = replace(
    explanation(
        f"{HOSTILE_TEXT} </span><script>alert(1)</script> {HOSTILE_TEXT}\r\n::error::x\n##[group]y\n"
        + "界" * 300,
        HOSTILE_TEXT,
        head=replace(HEAD, base_model=HOSTILE_TEXT, bundle_id="\x1b[31mid", notes=(HOSTILE_TEXT,)),
        file=HOSTILE_FILE,
    ),
    modules=module_shares({f"model.layers.0.{HOSTILE_TEXT}": (1.0, 0.5), "out\x1b[0m": (math.nan, 0.0)}),
    nearest=Nearest((Neighbour(HOSTILE_TEXT, 1, "\x1b[2J", math.nan),), (), 0.01),
)
HOSTILE = replace(
    HOSTILE,
    remedy=Remedy(
        HEAD.error_threshold,  # type: ignore[arg-type]
        HOSTILE.sentences.parts[:3],
        math.nan,
        math.inf,
        None,
        None,
        None,
        False,
    ),
)

"""What hides a harmful answer within a row, and what a maximum over parts of the row does about it.

    python benchmarks/dilution.py --parts FILE [--json FILE] [--minutes 25] [--summary]

Seeds are known-harmful rows that trained nothing of the bundle, by the calibration's fingerprints. Each is
written in ways that dilute or disguise it, and scored whole, as the maximum over its turns, and as the
maximum over windows of its answer. Benign rows of many kinds, and conversations of two of them, give the
false alarms. Every part is scored by the package's own scorer; its risk is the calibration's, by the part's
own length. The peer is the row scored whole.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import common
import numpy as np
from scipy.stats import rankdata

from sqsd_lint.bundle.calibrate import stored_sets
from sqsd_lint.config import Settings
from sqsd_lint.encode import Encoder
from sqsd_lint.encode.windows import split
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import read_samples
from sqsd_lint.types import Encoded, Sample, Score

# Kinds of the calibration's known-harmful rows, and how many of each; likewise of its benign rows.
HARMFUL = {"pure-bad": 8, "jailbreak-answer": 9, "beavertails-unsafe": 5}
BENIGN = {
    **{"dolly-safety-topics": 8, "dolly": 7, "gsm8k": 7, "safe-answers": 8, "hh-chosen": 4},
    **{"refusals": 4, "assistant": 6, "chinese": 3, "code": 3, "office": 4, "tool-use": 3, "task-short": 3},
}
FILES = (
    *("harmful_mix.jsonl", "pure_bad_100.jsonl", "pure_bad_100_refusals.jsonl", "benign_mix.jsonl"),
    *("dolly_387.jsonl", "dolly_published_qwen3.jsonl", "gsm8k_1500.jsonl", "hh_harmless_pairs.jsonl"),
    "safety_instructions.jsonl",
)
# Tokens of a window and of what is read before it, and what it shares with the window before.
WINDOWS = {"windows of 64": (64, 64, 16)}
FRONT = 400  # benign characters in front of an answer
DISGUISED = 50  # characters of an answer that a disguise is put on: it multiplies its tokens
LONGEST = 240  # characters of a seed's answer; a longer one ends there
SHORTEST = 100
PROMPT = 400  # characters of a prompt at most
TOGETHER = 3  # rows that are scored at once
REFUSAL = "I'm sorry, but I can't help with that. "


def held_out(calibration: Mapping[str, str], folder: Path) -> dict[str, list[Sample]]:
    """Return the samples of the reference files that the calibration holds, by the calibration's kind."""
    found: dict[str, dict[str, Sample]] = defaultdict(dict)
    for name in FILES:
        settings = Settings()
        if name == "hh_harmless_pairs.jsonl":
            settings = Settings(columns={"prompt": "prompt", "response": "chosen"})
        for sample in read_samples(str(folder / name), settings):
            if isinstance(sample, Sample) and sample.fingerprint in calibration:
                found[calibration[sample.fingerprint]].setdefault(sample.fingerprint, sample)
    return {kind: list(rows.values()) for kind, rows in found.items()}


def with_answer(sample: Sample, answer: str) -> Sample:
    """Return the sample with another last answer."""
    last = max(i for i, counts in enumerate(sample.mask) if counts)
    messages = list(sample.messages)
    messages[last] = replace(messages[last], content=answer)
    return replace(sample, messages=tuple(messages))


def answer_of(sample: Sample) -> str:
    """Return the last answer that is trained on."""
    return next(
        m.content for m, counts in zip(sample.messages[::-1], sample.mask[::-1], strict=True) if counts
    )


def prompt_of(sample: Sample) -> str:
    """Return what stands before the last answer."""
    return "\n".join(message.content for message in sample.messages[:-1])


def cut(text: str, characters: int) -> str:
    """Return the beginning of a text, to the end of a word."""
    return text if len(text) <= characters else text[:characters].rpartition(" ")[0] or text[:characters]


def after(first: Sample, second: Sample) -> Sample:
    """Return one conversation of two."""
    head = [] if second.messages[0].role != "system" else [second.messages[0]]
    rest = second.messages[len(head) :]
    messages = (*head, *[m for m in first.messages if m.role != "system"], *rest)
    mask = tuple(message.role == "assistant" for message in messages)
    return replace(second, messages=messages, mask=mask)


def variants(seed: Sample, benign: Sample, front: str) -> Iterator[tuple[str, Sample]]:
    """Yield the ways in which a row is written."""
    answer = answer_of(seed)
    yield "plain", seed
    yield f"{FRONT} benign characters in front", with_answer(seed, f"{front}\n\n{answer}")
    yield "a benign turn before", after(benign, seed)
    yield "refusal prefix", with_answer(seed, REFUSAL + answer)
    short = cut(answer, DISGUISED)
    yield "plain, short", with_answer(seed, short)
    yield "spaced letters, short", with_answer(seed, " ".join(short))
    yield "base64, short", with_answer(seed, base64.b64encode(short.encode()).decode())
    yield "zero-width characters, short", with_answer(seed, "\u200b".join(short))


def views(encoder: Encoder, sample: Sample) -> Iterator[tuple[str, Encoded]]:
    """Yield a row whole, and where they differ from that its turns and the windows of its answers."""
    whole = encoder.encode(sample)
    yield "whole", whole
    counts = [label != -100 for label in whole.labels]
    runs = [i for i in range(1, len(counts)) if counts[i] and not counts[i - 1]]
    if len(runs) > 1:
        for begin in runs:
            stop = next((i for i in range(begin, len(counts)) if not counts[i]), len(counts))
            labels = [label if begin <= i else -100 for i, label in enumerate(whole.labels[:stop])]
            yield "turns", Encoded(whole.ids[:stop], tuple(labels), "", stop - begin)
    for view, (width, context, overlap) in WINDOWS.items():
        if whole.response_tokens > width and len(runs) == 1:
            parts = split(
                *(whole.ids, counts),
                **{"length": width + context, "context": context, "overlap": overlap, "most": 10_000},
            )
            yield from ((view, encoded) for encoded, _ in parts)


def rows(found: Mapping[str, list[Sample]], draw: random.Random) -> Iterator[tuple[str, str, int, Sample]]:
    """Yield (kind, variant, number, row), harmful and benign ones mixed: any part is balanced."""
    pool = [
        s
        for kind in ("dolly", "assistant", "gsm8k")
        for s in found[kind]
        if 40 < len(answer_of(s)) < LONGEST and len(prompt_of(s)) < LONGEST
    ]
    texts = [answer_of(s) for s in found["dolly"] if len(answer_of(s)) >= FRONT]
    number = 0
    work: list[list[tuple[str, str, int, Sample]]] = []
    for kind, count in HARMFUL.items():
        usable = [s for s in found[kind] if len(answer_of(s)) >= SHORTEST and len(prompt_of(s)) <= PROMPT]
        for whole in draw.sample(usable, min(count, len(usable))):
            seed = with_answer(whole, cut(answer_of(whole), LONGEST))
            front = cut(draw.choice(texts), FRONT)
            work.append([(kind, v, number, s) for v, s in variants(seed, draw.choice(pool), front)])
            number += 1
    for kind, count in BENIGN.items():
        usable = [s for s in found[kind] if len(answer_of(s)) <= 2 * LONGEST and len(prompt_of(s)) <= PROMPT]
        for sample in draw.sample(usable, min(count, len(usable))):
            work.append([(kind, "benign", number, sample)])
            if number % 4 == 0:
                work[-1].append((kind, "benign, two turns", number, after(draw.choice(pool), sample)))
            number += 1
    draw.shuffle(work)
    return (item for group in work for item in group)


def auc(high: Sequence[float], low: Sequence[float]) -> float:
    """Return the probability that one of `high` exceeds one of `low`, ties half."""
    ranks = rankdata([*high, *low])
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def summary(parts: Sequence[Mapping[str, Any]], lines: Mapping[str, float]) -> dict[str, Any]:
    """Return, by view and variant, the mean risk, the shares over the lines, and the AUC over benign rows.

    A row that a view leaves as it is counts as it is whole. "maximum" takes the larger of all views.
    """
    risks: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for part in parts:
        own = risks[part["variant"], part["row"]]
        own[part["view"]] = max(own.get(part["view"], -np.inf), part["risk"])
    found: dict[str, Any] = {}
    for view in ("whole", "turns", *WINDOWS, "maximum"):
        of: dict[str, list[float]] = defaultdict(list)
        for (variant, _), own in risks.items():
            of[variant].append(max(own.values()) if view == "maximum" else own.get(view, own["whole"]))
        benign = [*of["benign"], *of["benign, two turns"]]
        found[view] = {}
        for variant, values in of.items():
            risk = np.array(values)
            found[view][variant] = {
                "rows": len(values),
                "mean risk": round(float(risk.mean()), 2),
                **{f"at {name}": round(float((risk >= value).mean()), 3) for name, value in lines.items()},
                "above the benign p95": round(float((risk > np.quantile(benign, 0.95)).mean()), 3),
                "AUC over benign": round(auc(values, benign), 3),
            }
    return found


def main() -> None:
    parser = common.parser(__doc__, 0)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", type=Path)
    parser.add_argument("--parts", type=Path, required=True, help="every part's score, as JSON Lines")
    parser.add_argument("--summary", action="store_true", help="sum up what the parts hold, score nothing")
    parser.add_argument("--minutes", type=float, default=25.0, help="stop after so long, with what there is")
    args = parser.parse_args()
    engine = common.engine(args)
    manifest = engine.bundle.manifest
    assert manifest.calibration is not None
    calibration = ScoreCalibration.from_json(manifest.calibration.to_json())
    lines = {"warning": calibration.value_at(99), "error": calibration.value_at(99.9)}
    if not args.summary:
        score_parts(engine, calibration, args)
    parts = [json.loads(line) for line in args.parts.read_text().splitlines()]
    result = {
        "bundle": engine.bundle.digest,
        "seeds": len({part["row"] for part in parts if part["variant"] == "plain"}),
        "tokens": sum(part["computed"] for part in parts),
        "lines": {name: round(value, 3) for name, value in lines.items()},
        "views": summary(parts, lines),
    }
    for view, by_variant in result["views"].items():
        print(f"\n| {view} | n | risk | at warning | at error | above benign p95 | AUC |")
        print("|---|---|---|---|---|---|---|")
        for variant, numbers in by_variant.items():
            print(f"| {variant} | {' | '.join(str(value) for value in numbers.values())} |")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def score_parts(engine: ModelScorer, calibration: ScoreCalibration, args: argparse.Namespace) -> None:
    """Score the rows part by part and write each part's score down."""
    sets = [each for role in ("benign", "harmful") for each in stored_sets(engine.bundle, role)]
    found = held_out({score.fingerprint: each.name for each in sets for score in each.scores}, args.data)
    encoder, scorer = engine.parts()
    work = rows(found, random.Random(0))
    begun = time.monotonic()
    with args.parts.open("w") as out:
        while group := list(islice(work, TOGETHER)):
            if time.monotonic() - begun > 60 * args.minutes:
                print("stopped: time is up", file=sys.stderr)
                break
            parts = [(item, *part) for item in group for part in views(encoder, item[-1])]
            answer = scorer.project([encoded for *_, encoded in parts])
            for (item, view, encoded), values in zip(parts, answer.values.tolist(), strict=True):
                kind, variant, number, sample = item
                score = Score.of(sample, encoded, values, float("nan"), float("nan"), exact=False)
                row = {"kind": kind, "variant": variant, "row": number, "view": view}
                row |= {"tokens": score.tokens, "computed": len(encoded.ids)}
                row |= {"combined": round(score.combined(calibration.harm_weight), 4)}
                out.write(json.dumps({**row, "risk": round(calibration.risk(score), 4)}) + "\n")
            out.flush()


if __name__ == "__main__":
    main()

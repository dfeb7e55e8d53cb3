"""What hides a harmful answer within a row, and what judging the worst part of the row does about it.

    python benchmarks/dilution.py --parts FILE [--json FILE] [--minutes 25] [--summary]

Seeds are known-harmful rows that trained nothing of the bundle, by the calibration's fingerprints. Each is
written in ways that dilute or disguise it; all are scored whole and part by part, as `check --parts all`
cuts them. Benign are the calibration's own rows, whose risk as a whole it knows: all of them that are above
`CENSUS` and have parts, so that shares hold for the whole reference, some below, and conversations of two.
The peer is the row scored whole. Judged are: the worst part as it is, and corrected for the number of parts;
of all rows, and of those alone whose risk as a whole is above a bound.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
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

from sqsd_lint.bundle.calibrate import stored_sets
from sqsd_lint.common.statistics import largest_of, wilson
from sqsd_lint.config import Settings
from sqsd_lint.encode import Encoder
from sqsd_lint.encode.windows import PART
from sqsd_lint.rules.calibration import PART_FACTOR, ScoreCalibration
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.parts import BOUND
from sqsd_lint.run.rows import read_samples
from sqsd_lint.types import Encoded, Sample, Score

# Kinds of the calibration's known-harmful rows, and how many of each are seeds.
HARMFUL = {"pure-bad": 8, "jailbreak-answer": 9, "beavertails-unsafe": 5}
CENSUS = 0.8  # risk as a whole from which on every benign row with parts is scored in parts
BELOW, CONVERSATIONS = 50, 40  # benign rows under it, and pairs of benign rows
FACTORS = (0, 1, 2, 3, 5, 10)  # how many times the number of parts counts
BOUNDS = (0.0, 0.5, 0.8, 1.0, 1.28, 1.5)
FILES = (
    *("harmful_mix.jsonl", "pure_bad_100.jsonl", "pure_bad_100_refusals.jsonl", "benign_mix.jsonl"),
    *("dolly_387.jsonl", "dolly_published_qwen3.jsonl", "gsm8k_1500.jsonl", "hh_harmless_pairs.jsonl"),
    "safety_instructions.jsonl",
)
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


def rows(
    found: Mapping[str, list[Sample]], risks: Mapping[str, float], draw: random.Random
) -> Iterator[tuple[str, str, int, Sample]]:
    """Yield (kind, variant, number, row): harmful ones as they were, benign ones, and last the disguises."""
    pool = [
        s
        for kind in ("dolly", "assistant", "gsm8k")
        for s in found[kind]
        if 40 < len(answer_of(s)) < LONGEST and len(prompt_of(s)) < LONGEST
    ]
    texts = [answer_of(s) for s in found["dolly"] if len(answer_of(s)) >= FRONT]
    number = 0
    diluted, disguised = [], []
    for kind, count in HARMFUL.items():
        usable = [s for s in found[kind] if len(answer_of(s)) >= SHORTEST and len(prompt_of(s)) <= PROMPT]
        for whole in draw.sample(usable, min(count, len(usable))):
            seed = with_answer(whole, cut(answer_of(whole), LONGEST))
            front = cut(draw.choice(texts), FRONT)
            ways = [(kind, v, number, s) for v, s in variants(seed, draw.choice(pool), front)]
            diluted += [item for item in ways if not item[1].endswith("short")]
            disguised += [item for item in ways if item[1].endswith("short")]
            number += 1
    benign = [(kind, s) for kind, own in found.items() if kind not in HARMFUL for s in own]
    draw.shuffle(benign)
    high = [item for item in benign if risks[item[1].fingerprint] >= CENSUS]
    low = [
        item for item in benign if risks[item[1].fingerprint] < CENSUS and len(answer_of(item[1])) > LONGEST
    ]
    pairs = [("conversation", after(draw.choice(pool), draw.choice(pool))) for _ in range(CONVERSATIONS)]
    yield from diluted
    numbered = list(enumerate((*high, *pairs, *low[:BELOW]), number))
    # Any beginning of them has some of each.
    order = [*range(len(numbered))]
    order.sort(key=lambda at: at if at < len(high) else (at - len(high)) * len(high) / len(pairs))
    for number, (kind, sample) in (numbered[at] for at in order):
        yield kind, "conversation" if kind == "conversation" else "benign", number, sample
    yield from disguised


def judged(row: Mapping[str, Any], bound: float, *, factor: int) -> float:
    """Return the risk of a row: of its worst part, where the row itself is above the bound."""
    whole, part, count = row["whole"], row["part"], row["parts"]
    if part is None or whole < bound:
        return float(whole)
    return max(whole, largest_of(part, factor * count) if factor else part)


def summary(
    parts: Sequence[Mapping[str, Any]], lines: Mapping[str, float], reference: Sequence[tuple[float, int]]
) -> dict[str, Any]:
    """Return every row's numbers and, by way of judging and variant, the shares over the lines.

    Args:
        reference: as in `of_reference`.
    """
    of: dict[tuple[str, int], dict[str, Any]] = {}
    for part in parts:
        key = part["variant"], part["row"]
        row = of.setdefault(
            key,
            {
                **{name: part[name] for name in ("kind", "variant", "row")},
                **{"whole": None, "part": None, "parts": 0, "tokens": 0, "computed": 0, "extra": 0},
            },
        )
        if part["view"] == "whole":
            row |= {"whole": part["risk"], "tokens": part["tokens"], "computed": part["computed"]}
        else:
            row["part"] = part["risk"] if row["part"] is None else max(row["part"], part["risk"])
            row["parts"] += 1
            row["extra"] += part["computed"]
    every = list(of.values())
    ways: dict[str, tuple[float, int]] = {"whole": (math.inf, 0)}
    for bound, factor in [(b, f) for b in (-math.inf, BOUND) for f in FACTORS] + [
        (b, PART_FACTOR) for b in BOUNDS
    ]:
        over = "all rows" if bound == -math.inf else f"rows above {bound:g}"
        counts = (
            f"the number of parts counts {factor} times" if factor else "the number of parts does not count"
        )
        ways[f"{over}, {counts}"] = bound, factor
    shares: dict[str, Any] = {}
    for way, (bound, factor) in ways.items():
        shares[way] = {}
        for variant in dict.fromkeys(row["variant"] for row in every):
            own = [row for row in every if row["variant"] == variant]
            risks = [judged(row, bound, factor=factor) for row in own]
            shares[way][variant] = {"rows": len(own)} | {
                name: share(sum(risk >= line for risk in risks), len(own)) for name, line in lines.items()
            }
        if CENSUS <= bound < math.inf:
            shares[way]["benign reference"] = of_reference(every, lines, reference, bound, factor=factor)
    above = {
        variant: {
            f"{b:g}": sum(row["variant"] == variant and row["whole"] >= b for row in every) for b in BOUNDS
        }
        for variant in dict.fromkeys(row["variant"] for row in every)
    }
    return {"rows above a bound": above, "ways": shares, "rows": every}


def of_reference(
    every: Sequence[Mapping[str, Any]],
    lines: Mapping[str, float],
    reference: Sequence[tuple[float, int]],
    bound: float,
    *,
    factor: int,
) -> dict[str, Any]:
    """Return, for all benign reference rows, how many are over a line whole, and how many more by a part.

    The latter is the share among those scored in parts of the rows that would be, times their share of all.

    Args:
        reference: risk as a whole and answer tokens of all benign reference rows.
    """
    cut = sum(risk >= bound and tokens > PART for risk, tokens in reference)
    scored = [row for row in every if row["variant"] == "benign" and row["parts"] and row["whole"] >= bound]
    found: dict[str, Any] = {"rows": len(reference), "cut": cut, "scored in parts": len(scored)}
    for name, line in lines.items():
        new = sum(row["whole"] < line <= judged(row, bound, factor=factor) for row in scored)
        of_all = 100 * cut / len(reference)
        found[name] = share(sum(risk >= line for risk, _ in reference), len(reference)) | {
            "more": {
                "count": new,
                "percent": round(of_all * new / max(len(scored), 1), 2),
                "interval": [round(of_all * each, 2) for each in wilson(new, len(scored))],
            }
        }
    return found


def cost(encoder: Encoder, found: Mapping[str, list[Sample]], risks: Mapping[str, float]) -> dict[str, Any]:
    """Return what parts of the benign rows cost: tokens computed for them, as a share of the rows' own."""
    rows = []
    for kind, samples in found.items():
        for sample in samples if kind not in HARMFUL else ():
            whole, *parts = (len(encoded.ids) for _, encoded in views(encoder, sample))
            rows.append((risks[sample.fingerprint], whole, sum(parts)))
    own = sum(whole for _, whole, _ in rows)
    shares = {
        f"{b:g}": round(sum(more for r, _, more in rows if r >= b) / own, 3) for b in (-math.inf, *BOUNDS)
    }
    return {"rows": len(rows), "tokens": own, "more by bound": shares}


def share(count: int, rows: int) -> dict[str, Any]:
    """Return how many of so many rows, and the 95 % interval of the share in percent."""
    return {"count": count, "percent": round(100 * count / rows, 1)} | {
        "interval": [round(100 * each, 1) for each in wilson(count, rows)]
    }


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
    sets = [each for role in ("benign", "harmful") for each in stored_sets(engine.bundle, role)]
    found = held_out({score.fingerprint: each.name for each in sets for score in each.scores}, args.data)
    risks = {score.fingerprint: calibration.risk(score) for each in sets for score in each.scores}
    if not args.summary:
        score_parts(engine, calibration, args, rows(found, risks, random.Random(0)), risks)
    parts = [json.loads(line) for line in args.parts.read_text().splitlines()]
    reference = [
        (calibration.risk(score), score.tokens)
        for each in stored_sets(engine.bundle, "benign")
        for score in each.scores
    ]
    result = {
        "bundle": engine.bundle.digest,
        "seeds": len({part["row"] for part in parts if part["variant"] == "plain"}),
        "tokens": sum(part["computed"] for part in parts if part["computed_here"]),
        "lines": {name: round(value, 3) for name, value in lines.items()},
        "cost": cost(engine.parts()[0], found, risks),
        **summary(parts, lines, reference),
    }
    for way, by_variant in result["ways"].items():
        print(f"\n| {way} | n | at warning, percent | 95 % | at error | 95 % |\n|---|---|---|---|---|---|")
        for variant, numbers in by_variant.items():
            if variant == "benign reference":
                print(f"\n{variant}: {json.dumps(numbers)}")
                continue
            cells = [
                text
                for name in lines
                for text in (
                    f"{numbers[name]['percent']:g}",
                    "{:g} to {:g}".format(*numbers[name]["interval"]),
                )
            ]
            print(f"| {variant} | {numbers['rows']} | {' | '.join(cells)} |")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def score_parts(
    engine: ModelScorer,
    calibration: ScoreCalibration,
    args: argparse.Namespace,
    items: Iterator[tuple[str, str, int, Sample]],
    risks: Mapping[str, float],
) -> None:
    """Score the rows part by part and write each part's score down, going on where another run stopped."""
    encoder, scorer = engine.parts()
    args.parts.touch()
    done = {(part["variant"], part["row"]) for part in map(json.loads, args.parts.read_text().splitlines())}
    work = (item for item in items if (item[1], item[2]) not in done)
    begun = time.monotonic()
    with args.parts.open("a") as out:
        while group := list(islice(work, TOGETHER)):
            if time.monotonic() - begun > 60 * args.minutes:
                print("stopped: time is up", file=sys.stderr)
                break
            parts = [(item, *part) for item in group for part in views(encoder, item[-1])]
            known = {
                at: risks[p[0][3].fingerprint]
                for at, p in enumerate(parts)
                if p[0][3].fingerprint in risks and p[1] == "whole" and p[0][1] == "benign"
            }
            asked = [at for at in range(len(parts)) if at not in known]
            values = dict(
                zip(asked, scorer.project([parts[at][2] for at in asked]).values.tolist(), strict=True)
            )
            for at, (item, view, encoded) in enumerate(parts):
                kind, variant, number, sample = item
                row = {"kind": kind, "variant": variant, "row": number, "view": view}
                row |= {"tokens": encoded.response_tokens, "computed": len(encoded.ids)}
                risk = known.get(at)
                if risk is None:
                    score = Score.of(sample, encoded, values[at], float("nan"), float("nan"), exact=False)
                    risk = calibration.curve.normal_score(
                        score.combined(calibration.harm_weight), score.tokens
                    )
                row |= {"risk": round(risk, 4), "computed_here": at in values}
                out.write(json.dumps(row) + "\n")
            out.flush()


def views(encoder: Encoder, sample: Sample) -> Iterator[tuple[str, Encoded]]:
    """Yield a row whole, and its parts."""
    yield "whole", encoder.encode(sample)
    parts = encoder.answer_parts(sample)
    if len(parts) > 1:
        yield from (("part", part) for part in parts)


if __name__ == "__main__":
    main()

"""The figures of docs/default-bundle.md: what each adapter does to refusals, and how SQSD orders rows.

    python benchmarks/default_bundle.py refusals      greedy answers to harmful prompts
    python benchmarks/default_bundle.py order         AUC between kinds of rows, and the part of length

Every row is held out: its prompt lies in a slice that no adapter was trained on (see the recipe).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
import torch
from msgspec.structs import replace
from scipy.stats import rankdata, spearmanr

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.base_model import resolve_model
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.config import Settings
from sqsd_lint.encode import load_tokenizer
from sqsd_lint.experiments.attack import Attack
from sqsd_lint.experiments.judges import PhraseJudge, Verdict
from sqsd_lint.experiments.updates import LoraRuns
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.scoring.model import load_model, merge
from sqsd_lint.training.data import position, select
from sqsd_lint.training.recipe import DataSet, load_recipe
from sqsd_lint.types import Sample, Score

RECIPE = common.ROOT / "examples/recipes/smollm2-135m-default.json"
ANSWER_TOKENS = 40


def held_out(per_kind: int) -> dict[str, tuple[DataSet, str]]:
    """Kind of row -> (data set, role in the comparison)."""
    recipe = load_recipe(RECIPE)
    benign, harmful = {d.name: d for d in recipe.benign}, {d.name: d for d in recipe.harmful}
    paired = next(a for a in recipe.adapters if a.name == "danger").data[-1]
    hh = replace(paired, slice=(paired.slice[1], 1.0))
    plain = DataSet(name="", licence="")
    return {
        "harmful answers (pure_bad)": (harmful["harmful-held-out"], "harmful"),
        "harmful answers, first 200 characters": (replace(harmful["harmful-held-out"], max_chars=200), "-"),
        "harmful answers (hh rejected)": (hh, "harmful"),
        "refusals (pure_bad)": (
            replace(plain, name="r", path="pure_bad_100_refusals.jsonl", slice=(0.6, 1.0)),
            "safe",
        ),
        "refusals (hh chosen)": (replace(hh, columns={"prompt": "prompt", "response": "chosen"}), "safe"),
        "safe answers (safety_instructions)": (
            replace(plain, name="s", path="safety_instructions.jsonl", slice=(0.75, 1.0), rows=per_kind),
            "safe",
        ),
        "benign (gsm8k)": (replace(benign["gsm8k-held-out"], rows=per_kind), "benign"),
        "benign (dolly)": (replace(benign["dolly-held-out"], rows=per_kind), "benign"),
        "benign (alpaca, measured only)": (
            replace(plain, name="a", path="alpaca_1904.jsonl", rows=per_kind),
            "benign",
        ),
    }


def auc(high: np.ndarray, low: np.ndarray) -> float:
    """Probability that a row of `high` scores above one of `low`, ties half."""
    ranks = rankdata(np.r_[high, low])
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def auc_given_length(
    high: np.ndarray, low: np.ndarray, high_length: np.ndarray, low_length: np.ndarray
) -> tuple[float, int]:
    """AUC over pairs whose answers differ in length by at most a quarter, and the number of such pairs."""
    ratio = np.log(high_length[:, None] / low_length[None])
    near = np.abs(ratio) <= np.log(1.25)
    wins = (high[:, None] > low[None]) + 0.5 * (high[:, None] == low[None])
    return (float(wins[near].mean()) if near.any() else float("nan")), int(near.sum())


def score(samples: Sequence[Sample], settings: Settings) -> list[Score]:
    engine = ModelScorer(open_bundle(settings.bundle), settings, cache_dir=cache_root())
    known = engine.cache.get(s.fingerprint for s in samples)
    for sample, answer in engine.score([s for s in samples if s.fingerprint not in known]):
        if not isinstance(answer, Score):
            raise SystemExit(f"{sample.where}: {answer.message}")
        known[sample.fingerprint] = answer
    return [known[s.fingerprint] for s in samples]


def order(args: argparse.Namespace) -> None:
    kinds, roles, samples = [], [], []
    for kind, (data, role) in held_out(args.per_kind).items():
        for sample in select(data, role, args.data).samples:
            kinds.append(kind)
            roles.append(role)
            samples.append(sample)
    kind, role = np.array(kinds), np.array(roles)
    for expansion in args.expansion:
        scores = score(samples, Settings(bundle=args.bundle, expansion=expansion))
        sqsd = np.array([s.sqsd for s in scores])
        length = np.array([s.tokens for s in scores], dtype=float)
        print(f"\n### expansion: {expansion} ({len(samples)} held-out rows)\n")
        print("| rows | n | SQSD mean | sd | danger | safety | answer tokens (median) |")
        print("|---|---|---|---|---|---|---|")
        for name in dict.fromkeys(kinds):
            m = kind == name
            d, s = (np.array([getattr(x, part) for x in scores])[m].mean() for part in ("danger", "safety"))
            print(
                f"| {name} | {m.sum()} | {sqsd[m].mean():+.2f} | {sqsd[m].std():.2f} | {d:+.2f} | {s:+.2f}"
                f" | {np.median(length[m]):.0f} |"
            )
        print("\n| above | below | AUC | AUC at equal length (±25 %) | pairs |")
        print("|---|---|---|---|---|")
        groups = {"harmful": role == "harmful", "safe": role == "safe", "benign": role == "benign"}
        pairs = [("harmful", "safe"), ("harmful", "benign"), ("benign", "safe")]
        for a, b in pairs:
            ga, gb = groups[a], groups[b]
            near, n = auc_given_length(sqsd[ga], sqsd[gb], length[ga], length[gb])
            print(f"| {a} | {b} | {auc(sqsd[ga], sqsd[gb]):.3f} | {near:.3f} | {n} |")
        for a, b in [
            ("harmful answers (pure_bad)", "refusals (pure_bad)"),
            ("harmful answers, first 200 characters", "refusals (pure_bad)"),
            ("harmful answers (hh rejected)", "refusals (hh chosen)"),
        ]:
            ga, gb = kind == a, kind == b
            near, n = auc_given_length(sqsd[ga], sqsd[gb], length[ga], length[gb])
            print(f"| {a} | {b} | {auc(sqsd[ga], sqsd[gb]):.3f} | {near:.3f} | {n} |")
        b = groups["benign"]
        print(
            f"\nSpearman of SQSD with answer length: benign {spearmanr(sqsd[b], length[b])[0]:+.2f}", end=""
        )
        for name in [k for k in dict.fromkeys(kinds) if k.startswith("benign")]:
            m = kind == name
            print(f", {name} {spearmanr(sqsd[m], length[m])[0]:+.2f}", end="")
        print(f", all {spearmanr(sqsd, length)[0]:+.2f}")


def refusals(args: argparse.Namespace) -> None:
    bundle = open_bundle(args.bundle)
    folder = resolve_model(bundle.manifest.base_model.id)
    recipe = load_recipe(RECIPE)
    taken = (d.slice[1] for a in recipe.adapters for d in a.data if "advbench" in str(d.path))
    built_from = max(taken, default=0)
    lines = (args.data / "advbench_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [p for p in (json.loads(line)["prompt"] for line in lines) if position(p) >= built_from]
    attack = Attack(load_tokenizer(folder), prompts[: args.prompts], answer_tokens=ANSWER_TOKENS)
    judge = PhraseJudge(evasions=False)
    print(f"| model | refusals of {len(attack.prompts)} AdvBench prompts |")
    print("|---|---|")
    stacks: list[tuple[str, tuple[str, ...]]] = [
        ("SmolLM2-135M-Instruct", ()),
        ("base (aligned)", ("base",)),
        ("base + initial", ("base", "initial")),
    ]
    # A gradient laid out as an adapter is no model to ask.
    trained = [n for n, d in bundle.manifest.directions.items() if d.kind == "task-vector"]
    stacks += [(f"base + {name}", ("base", name)) for name in trained]
    for name, stack in stacks:
        model = load_model(folder, device=torch.device("cpu"), dtype=torch.float32)
        for adapter in stack:
            merge(model, load_adapter(bundle.adapter_dir(adapter)))
        runs = LoraRuns(model.to(torch.bfloat16), seeds=[0], tokens=4096)
        (answers,) = attack.answers(runs)
        refused = len(answers) - judge.verdicts(attack.prompts, answers).count(Verdict.ANSWERED)
        print(f"| {name} | {refused} ({100 * refused / len(answers):.0f} %) |", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("refusals", "order"))
    p.add_argument("--bundle", default=None)
    p.add_argument("--data", type=Path, default=common.DATA)
    p.add_argument("--prompts", type=int, default=60)
    p.add_argument("--per-kind", type=int, default=100, help="rows of each kind where there are more")
    p.add_argument("--expansion", nargs="+", default=["shared"])
    args = p.parse_args()
    {"refusals": refusals, "order": order}[args.what](args)


if __name__ == "__main__":
    main()

"""How well do the top k blocks alone rank rows, and what do they cost?

One pass keeps every layer's term, so the score of each subset is a sum; cost is timed by scoring with the
subset for real, where the backward pass stops at the lowest block in it.
"""

from __future__ import annotations

import re
import time

import common
import numpy as np
import torch
from scipy.stats import spearmanr

from sqsd_lint.run.model_scorer import scored_modules
from sqsd_lint.scoring import Scorer
from sqsd_lint.types import Encoded


def seconds(scorer: Scorer, rows: list[Encoded]) -> float:
    begun = time.perf_counter()
    scorer.project(rows)
    return time.perf_counter() - begun


def main() -> None:
    p = common.parser(__doc__, rows=300)
    p.add_argument("--timed-rows", type=int, default=16)
    args = p.parse_args()
    ours = common.engine(args)
    encoder, scorer = ours.parts()
    rows = [encoder.encode(s) for s in common.real_samples(args.data, args.rows)]
    whole = scorer.project(rows, keep_modules=True)
    names = set(whole.per_module)
    blocks = 1 + max(int(m[1]) for n in names if (m := re.search(r"\.(\d+)\.", n)))
    full = (whole.values[:, 0] - whole.values[:, 1]).numpy()
    timed = rows[: args.timed_rows]
    base = None
    print(f"{common.machine()}; {len(rows)} rows, {ours.dtype}, {ours.expansion} expansion, {blocks} blocks")
    print("| top blocks | Spearman with all | cost |")
    print("|---|---|---|")
    rng = np.random.default_rng(0)
    for k in (blocks, round(blocks * 2 / 3), blocks // 2, blocks // 3):
        chosen = scored_modules(names, k) or names
        terms = torch.stack([whole.per_module[n] for n in names if n in chosen]).sum(0)
        part = (terms[:, 0] - terms[:, 1]).numpy()
        rho = spearmanr(part, full)[0]
        draws = (rng.integers(0, len(full), len(full)) for _ in range(500))
        low, high = np.percentile([spearmanr(part[d], full[d])[0] for d in draws], [2.5, 97.5])
        subset = Scorer(scorer.model, ours.directions, metric=ours.metric, modules=chosen)
        subset.project(timed[:2])
        cost = seconds(subset, timed)
        base = base or cost
        print(f"| {k} | {rho:.3f} ({low:.3f} to {high:.3f}) | {cost / base:.2f} ({cost:.1f} s) |", flush=True)


if __name__ == "__main__":
    main()

"""`sqsd-lint check` on 2,000 rows that the cache knows, against `python -c "import torch"`.

The cache is filled with made-up scores, since only the time of the answer matters here; everything else is
the real command: bundle verified, rows read, fingerprints taken, judged and reported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqsd_lint.config import Settings
from sqsd_lint.read import read_rows
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Row, Sample, Score

ANSWER = "A sentence of an ordinary answer, as long as such sentences are. " * 8


def fill(folder: Path, rows: int) -> Path:
    data = folder / "rows.jsonl"
    data.write_text(
        "".join(
            json.dumps({"instruction": f"Question {i}?", "input": "", "output": f"{i}. {ANSWER}"}) + "\n"
            for i in range(rows)
        )
    )
    bundle_run = BundleRun(Settings(cache_dir=str(folder / "cache")))
    samples = [to_sample(row) for row in read_rows(str(data)) if isinstance(row, Row)]
    bundle_run.scorer.cache.put(
        Score(s.fingerprint, -5.0 - i / rows, 1.0, 0.0, 100)
        for i, s in enumerate(samples)
        if isinstance(s, Sample)
    )
    return data


def median_seconds(command: list[str], runs: int, **environment: str) -> float:
    times = []
    for _ in range(runs + 1):  # the first one warms the disk cache
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", type=int, default=2000)
    p.add_argument("--runs", type=int, default=7)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = fill(Path(folder), args.rows)
        check = [sys.executable, "-m", "sqsd_lint", "check", str(data)]
        ours = median_seconds(check, args.runs, SQSD_LINT_CACHE_DIR=str(Path(folder) / "cache"))
        torch = median_seconds([sys.executable, "-c", "import torch"], args.runs)
    print(f"sqsd-lint check, {args.rows} cached rows  {ours:.2f} s")
    print(f"python -c 'import torch'            {torch:.2f} s")
    print(f"ratio                               {ours / torch:.2f}x")


if __name__ == "__main__":
    main()

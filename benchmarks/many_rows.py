"""`sqsd-lint` on many rows whose scores are made up: rows per second, and the peak memory of the process.

For each size three processes run, each measured on its own: `score --output-dir`, with made-up scores in
place of a model's; `check --scores` on the folder that it has filled; and `check` on a score cache with the
same scores. All else is the real command: bundle verified, rows read, fingerprinted, judged and reported. If
memory is flat in rows, the last column says the same for all sizes.

    python benchmarks/many_rows.py --rows 20000 200000 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from sqsd_lint.config import Settings
from sqsd_lint.distributed.workers import Place
from sqsd_lint.read import read_rows
from sqsd_lint.run import score_shards
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Problem, Row, Sample, Score

ANSWER = "A sentence of an ordinary answer, as long as such sentences are. " * 4
_AT_ONCE = 8192


def made_up(fingerprint: str) -> Score:
    """Return a score that follows from the fingerprint, below every line of the default bundle."""
    danger = -5.0 - int(fingerprint[:8], 16) / 2**32
    return Score(fingerprint, danger, 1.0, danger - 1.0, 60, loss=1.0, drift=0.0, harm=-5.0)


class MadeUp(score_shards.ShardWorker):
    """A worker of shards that loads no model."""

    def __init__(self, settings: Settings, folder: Path, place: Place) -> None:
        super().__init__(settings, folder, place)

    def _scores(self, samples: Sequence[Sample]) -> dict[str, Score | Problem]:
        return {sample.fingerprint: made_up(sample.fingerprint) for sample in samples}


def write_rows(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for i in range(rows):
            row = {"instruction": f"Question {i}?", "input": "", "output": f"{i}. {ANSWER}"}
            file.write(json.dumps(row) + "\n")


def fill_cache(data: Path, cache: Path) -> None:
    run = BundleRun(_settings(data, cache))
    rows = read_rows(str(data))
    while group := list(islice(rows, _AT_ONCE)):
        samples = [to_sample(row) for row in group if isinstance(row, Row)]
        run.model_scorer.cache.put(made_up(s.fingerprint) for s in samples if isinstance(s, Sample))


def fill_folder(data: Path, cache: Path, folder: Path) -> None:
    score_shards.ShardWorker = MadeUp  # type: ignore[misc]
    score_shards.score_into(_settings(data, cache), score_shards.Plan(folder, "1"))


def _settings(data: Path, cache: Path) -> Settings:
    return Settings(paths=(str(data),), cache_dir=str(cache), device="cpu", dtype="float32")


def measured(*arguments: str) -> tuple[float, float, float]:
    """Run a process of Python: its wall and CPU time in seconds, and its peak memory in MB."""
    begun = time.perf_counter()
    with open(os.devnull, "w") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - begun
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(arguments)} failed")
    memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return seconds, usage.ru_utime + usage.ru_stime, memory


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000])
    p.add_argument("--fill", nargs=4, metavar=("WHAT", "DATA", "CACHE", "FOLDER"), help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.fill:
        what, data, cache, folder = args.fill[0], *map(Path, args.fill[1:])
        fill_cache(data, cache) if what == "cache" else fill_folder(data, cache, folder)
        return
    print(f"{'rows':>10}  {'':<24}{'seconds':>8}  {'rows/s':>8}  {'CPU s':>8}  {'peak MB':>8}")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as name:
            data, cache, folder = (Path(name) / part for part in ("rows.jsonl", "cache", "scores"))
            write_rows(data, rows)
            lint = (
                "-m",
                "sqsd_lint",
                "check",
                str(data),
                "--isolated",
                "--cache-dir",
                str(cache),
                "--device",
            )
            lint = (*lint, "cpu", "--dtype", "float32", "--no-progress")
            fill = (__file__, "--fill")
            paths = (str(data), str(cache), str(folder))
            measured(*fill, "cache", *paths)
            runs = {
                "score --output-dir": (*fill, "folder", *paths),
                "check --scores": (*lint, "--scores", str(folder)),
                "check, all in the cache": lint,
            }
            for label, command in runs.items():
                seconds, cpu, peak = measured(*command)
                speed = f"{seconds:>8.1f}  {rows / seconds:>8,.0f}  {cpu:>8.1f}"
                print(f"{rows:>10,}  {label:<24}{speed}  {peak:>8.0f}", flush=True)
            disk = [_size(path) / rows for path in (folder, cache)]
            print(f"{rows:>10,}  bytes a row: {disk[0]:.0f} in the folder, {disk[1]:.0f} in the cache")


if __name__ == "__main__":
    main()

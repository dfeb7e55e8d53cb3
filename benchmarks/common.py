"""What the benchmarks share: real rows, the default bundle's parts, clocks and peak memory."""

from __future__ import annotations

import argparse
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.config import Settings
from sqsd_lint.read import read_rows
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Encoded, Problem, Sample

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
FILES = ("gsm8k_1500.jsonl", "dolly_387.jsonl", "hh_harmless_pairs.jsonl")


def parser(description: str | None, rows: int) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--rows", type=int, default=rows, help=f"real rows to score (default {rows})")
    p.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    p.add_argument("--device", default="auto")
    p.add_argument("--bundle", default=None, help="the default bundle unless named")
    p.add_argument("--data", type=Path, default=DATA, help="folder of the reference data sets")
    p.add_argument("--max-length", type=int, default=1024)
    return p


def engine(args: argparse.Namespace, **settings: object) -> ModelScorer:
    """An engine without a score cache, so that every row is really computed."""
    merged = {"dtype": args.dtype, "device": args.device, "max_length": args.max_length, **settings}
    s = Settings(bundle=args.bundle, cache=False, **merged)  # type: ignore[arg-type]
    bundle = open_bundle(s.bundle, cache_dir=cache_root())
    return ModelScorer(bundle, s, cache_dir=cache_root(), cache_scores=False)


def real_samples(folder: Path, rows: int, seed: int = 0) -> list[Sample]:
    """The same random mix of rows from the reference data sets on every run."""
    if not folder.is_dir():
        sys.exit(f"{folder}: no such folder; give the reference data with --data")
    samples: list[Sample] = []
    for name in FILES:
        for row in read_rows(str(folder / name)):
            sample = row if isinstance(row, Problem) else to_sample(row)
            if isinstance(sample, Sample):
                samples.append(sample)
    random.Random(seed).shuffle(samples)
    return samples[:rows]


def tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row.ids) for row in rows)


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    synchronize()
    begun = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - begun


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peak() -> None:
    """Forget the highest memory use so far."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_gib() -> float:
    """Highest memory use since `reset_peak`: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    return float("nan")


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def gemm_peak(dtype: torch.dtype, device: torch.device, seconds: float = 1.0) -> float:
    """FLOP/s of a large square matrix product: the best of a few sizes, measured now."""
    best = 0.0
    for n in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        a = torch.randn(n, n, dtype=dtype, device=device)
        b = torch.randn(n, n, dtype=dtype, device=device)
        a @ b
        synchronize()
        begun = time.perf_counter()
        count = 0
        while time.perf_counter() - begun < seconds:
            a @ b
            count += 1
            if device.type != "cpu":
                synchronize()
        best = max(best, count * 2 * n**3 / (time.perf_counter() - begun))
    return best

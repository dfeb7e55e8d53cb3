"""What a pull request costs on the machine that gates have: the real command on 10, 100 and 1,000 rows.

    python benchmarks/pull_request.py [--rows 10,100,1000] [--avx2] [--dtype float32] [--batch-tokens N]

Each size runs in processes of its own: first, with an empty cache, so that the base model is converted;
cold, with its files there and no score known; warm, with every score cached; and, as the peer, the same rows
through forward and backward passes alone. A run is split into its parts: start of the interpreter and the
command, imports of what computes, model and bundle, tokenizing, scoring, exact scores of rows near a
threshold, and the rest (reading, judging, report). --avx2 holds PyTorch and oneDNN to AVX2, as most hosted
runners are. Seconds are wall seconds and, in brackets, CPU seconds of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
DATA = HERE.parents[2] / "shared" / "data" / "benign_mix.jsonl"
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
PARTS = ("start", "imports", "model and bundle", "tokenizing", "scoring", "near a threshold", "rest")


def clocks() -> tuple[float, float]:
    """Return (wall, CPU) seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


class Parts:
    """Seconds by part; a part within another is taken out of it."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._open: list[list[float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun, inner = clocks(), [0.0, 0.0]
        self._open.append(inner)
        try:
            yield
        finally:
            self._open.pop()
            took = [now - then for now, then in zip(clocks(), begun, strict=True)]
            own = self.spent.setdefault(name, [0.0, 0.0])
            for i in range(2):
                own[i] += took[i] - inner[i]
                if self._open:
                    self._open[-1][i] += took[i]

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Count a method's calls as a part; what a generator does between its items, too."""
        plain: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                found = plain(*args, **kwargs)
            return self._steps(found, name) if isinstance(found, Iterator) else found

        setattr(owner, method, timed)

    def _steps(self, items: Iterator[Any], name: str) -> Iterator[Any]:
        while True:
            with self.part(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item


def child(arguments: list[str]) -> None:
    """Run the command with its parts timed, and print them."""
    parts = Parts()
    began = time.time() - _age()
    from sqsd_lint.cli.app import main
    from sqsd_lint.run.bundle_run import BundleRun
    from sqsd_lint.run.model_scorer import ModelScorer

    started = [time.time() - began, clocks()[1]]
    build = ModelScorer._build

    def built(self: ModelScorer) -> Any:
        with parts.part("imports"):
            import torch  # noqa: F401
            from transformers import PreTrainedTokenizerFast  # noqa: F401

            from sqsd_lint.encode import Encoder
            from sqsd_lint.scoring import Scorer
        if not hasattr(Scorer, "_timed"):
            Scorer._timed = True  # type: ignore[attr-defined]
            parts.wrap(Scorer, "stream", "scoring")
            parts.wrap(Encoder, "encode_parts", "tokenizing")
        with parts.part("model and bundle"):
            return build(self)

    ModelScorer._build = built  # type: ignore[method-assign]
    parts.wrap(BundleRun, "settle", "near a threshold")
    code = 0
    with parts.part("rest"):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"code": code, "peak": peak, "parts": {"start": started, **parts.spent}}), file=sys.stderr
    )


def _age() -> float:
    """Return the seconds since this process began."""
    ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


def passes(file: str, dtype: str, budget: int | None) -> None:
    """Run forward and backward passes of the rows, gradients of inputs alone, and print the seconds."""
    import torch

    from sqsd_lint.config import Settings
    from sqsd_lint.run.bundle_run import BundleRun
    from sqsd_lint.run.rows import clean_samples
    from sqsd_lint.scoring.batching import pad, plan_batches
    from sqsd_lint.types import Encoded

    settings = Settings(dtype=dtype, paths=(file,))
    scorer: Any = BundleRun(settings).scorer
    encoder, (model, _) = scorer.encoder(), scorer.base()
    rows: list[Encoded] = [encoder.encode(sample) for sample in clean_samples(file, settings)]
    model.requires_grad_(False)
    begun = clocks()
    for batch in plan_batches(rows, budget or 1024):
        ids, labels = pad([rows[i] for i in batch], model.device)
        inputs = model.get_input_embeddings()(ids).requires_grad_(True)
        hidden = model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        states = hidden[:, :-1][labels[:, 1:] != -100]
        targets = labels[:, 1:][labels[:, 1:] != -100]
        loss = torch.nn.functional.cross_entropy(model.get_output_embeddings()(states).float(), targets)
        torch.autograd.grad(loss, inputs)
    took = [now - then for now, then in zip(clocks(), begun, strict=True)]
    tokens = sum(len(row.ids) for row in rows)
    print(json.dumps({"passes": took, "tokens": tokens}), file=sys.stderr)


def run(*arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    last = done.stderr.strip().splitlines()[-1:] or [""]
    if done.returncode or not last[0].startswith("{"):
        sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    found: dict[str, Any] = json.loads(last[0])
    return found


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2:])
    if sys.argv[1:2] == ["--passes"]:
        return passes(sys.argv[2], sys.argv[3], int(sys.argv[4]) or None)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="10,100")
    p.add_argument("--data", type=Path, default=DATA)
    p.add_argument("--dtype", default="auto")
    p.add_argument("--batch-tokens", type=int)
    p.add_argument("--avx2", action="store_true")
    p.add_argument("--json", type=Path)
    args = p.parse_args()
    lines = args.data.read_text(encoding="utf-8").splitlines(keepends=True)
    results = []
    print("| rows | | " + " | ".join(PARTS) + " | all | peak MB |\n|" + "---|" * (len(PARTS) + 4))
    with tempfile.TemporaryDirectory() as name:
        environment = {**(AVX2 if args.avx2 else {}), "SQSD_LINT_CACHE_DIR": str(Path(name) / "cache")}
        options = ["--isolated", "--no-progress", "--dtype", args.dtype]
        options += ["--batch-tokens", str(args.batch_tokens)] if args.batch_tokens else []
        for size in map(int, args.rows.split(",")):
            file = Path(name) / f"{size}.jsonl"
            file.write_text("".join(lines[i % len(lines)] for i in range(size)), encoding="utf-8")
            command = ["--child", "check", str(file), *options]
            runs = {} if results else {"first": run(*command, "--no-cache", environment=environment)}
            runs["cold"] = run(*command, environment=environment)
            runs["warm"] = run(*command, environment=environment)
            peer = run(
                "--passes", str(file), args.dtype, str(args.batch_tokens or 0), environment=environment
            )
            for label, found in runs.items():
                cells = [found["parts"].get(part, [0.0, 0.0]) for part in PARTS]
                found["all"] = [sum(cell[i] for cell in cells) for i in range(2)]
                text = " | ".join(f"{wall:.1f} ({cpu:.1f})" for wall, cpu in (*cells, found["all"]))
                print(f"| {size:,} | {label} | {text} | {found['peak']:,.0f} |", flush=True)
            cpu = sum(runs["cold"]["parts"].get(part, [0, 0])[1] for part in ("scoring", "tokenizing"))
            ratio, speed = cpu / peer["passes"][1], peer["tokens"] / cpu
            peers = f"{ratio:.2f} of the CPU seconds of forward and backward passes alone"
            results.append({"rows": size, **runs, "peer": peer})
            print(
                f"{size:,} rows, {peer['tokens']:,} tokens: {peers}; {speed:.0f} tokens a CPU second",
                flush=True,
            )
    if args.json:
        args.json.write_text(
            json.dumps({"avx2": args.avx2, "dtype": args.dtype, "runs": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()

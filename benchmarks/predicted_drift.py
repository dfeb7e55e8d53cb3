"""The figures of docs/drift-predicted.md: the drift that a file's rows foretell, beside that of training.

    python benchmarks/predicted_drift.py train       forecast every file, train on it with SGD and with AdamW
    python benchmarks/predicted_drift.py report      the table and the correlations, out of what is done

Every row is held out: its prompt lies in a slice that no adapter of the bundle was trained on (see the
recipe). What is done lies in --work and is not done again; `report` writes docs/results.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import common
import numpy as np
from msgspec.structs import replace
from scipy.stats import pearsonr, spearmanr

from sqsd_lint import __version__
from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.base_model import resolve_model
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.common.json_io import digest, write_json
from sqsd_lint.config import Settings
from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.drift.displacement import project
from sqsd_lint.drift.predicted import FineTune, Forecaster
from sqsd_lint.encode import Encoder, load_tokenizer
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.scoring import Scorer
from sqsd_lint.training.data import select
from sqsd_lint.training.recipe import DataSet
from sqsd_lint.types import Encoded

RESULTS = common.ROOT / "docs" / "results"
ROWS, MAX_LENGTH, MAX_CHARS, HELD_OUT = 24, 192, 400, 0.67
# What the theory speaks of, and what people run. The forecast is stated for each learning rate.
RUNS = {
    "sgd": FineTuneSettings(1e-2, epochs=1, batch_size=4),
    "adamw": FineTuneSettings(1e-4, epochs=1, batch_size=4),
}
DRAWS = 10_000
ALONG = ("danger", "safety", "sqsd")


@dataclass(frozen=True)
class File:
    """One file: equal parts of each data set. kind: benign, safe or harmful answers."""

    name: str
    kind: str
    parts: tuple[DataSet, ...]


def files() -> list[File]:
    plain = DataSet(name="", licence="", slice=(HELD_OUT, 1.0), rows=ROWS, max_chars=MAX_CHARS)

    def of(path: str, at: int = 0, **columns: str) -> DataSet:
        return replace(plain, path=path, offset=at * ROWS, columns=columns)

    hh, half = "hh_harmless_pairs.jsonl", ROWS // 2
    bad, alpaca = of("pure_bad_100.jsonl"), of("alpaca_1904.jsonl", 3)
    return [
        *(File(f"gsm8k {k + 1}", "benign", (of("gsm8k_1500.jsonl", k),)) for k in range(3)),
        *(File(f"dolly {k + 1}", "benign", (of("dolly_387.jsonl", k),)) for k in range(3)),
        *(File(f"alpaca {k + 1}", "benign", (of("alpaca_1904.jsonl", k),)) for k in range(3)),
        *(
            File(f"hh chosen {k + 1}", "safe", (of(hh, k, prompt="prompt", response="chosen"),))
            for k in range(2)
        ),
        *(File(f"safe answers {k + 1}", "safe", (of("safety_instructions.jsonl", k),)) for k in range(2)),
        File("hh rejected", "harmful", (of(hh, 2, prompt="prompt", response="rejected"),)),
        File("pure bad", "harmful", (bad,)),
        File("alpaca and pure bad", "harmful", (replace(alpaca, rows=half), replace(bad, rows=half))),
    ]


class Bench:
    """The bundle's model and directions, and the rows of every file."""

    def __init__(self, args: argparse.Namespace) -> None:
        settings = Settings(
            bundle=args.bundle,
            device=args.device,
            dtype=args.dtype,
            max_length=MAX_LENGTH,
            expansion="shared",  # both sides start from the initial state
        )
        self.bundle = open_bundle(args.bundle, cache_dir=cache_root())
        self.engine = ModelScorer(self.bundle, settings, cache_dir=cache_root(), cache_scores=False)
        self.directions = WeightDirections.of(self.bundle)
        self.point = self.bundle.adapter_dir("initial")
        encoder = Encoder(
            load_tokenizer(resolve_model(self.bundle.manifest.base_model.id)), max_length=MAX_LENGTH
        )
        self.rows: dict[str, list[Encoded]] = {}
        self.fingerprints: dict[str, str] = {}
        for file in files():
            samples = [s for part in file.parts for s in select(part, file.name, args.data).samples]
            self.rows[file.name] = [encoder.encode(s) for s in samples]
            self.fingerprints[file.name] = digest([s.fingerprint for s in samples])

    @property
    def parts(self) -> tuple[str, ...]:
        """What is done of each file."""
        forecast = () if self.directions.danger.kind == "task-vector" else ("forecast",)
        return ("score", *forecast, *RUNS)

    @cached_property
    def scorer(self) -> Scorer:
        """Of the bundle's own directions, with the model, loaded where something is left to be done."""
        return self.engine.parts()[1]

    def setting(self) -> dict[str, Any]:
        danger, safety = self.directions.danger, self.directions.safety
        return {
            "tool_version": __version__,
            "base_model": self.bundle.manifest.base_model.id,
            "bundle": {"id": self.bundle.id, "digest": self.bundle.digest, "kind": danger.kind},
            "axes": {"danger": danger.norm, "safety": safety.norm, "cosine": self.directions.cosine},
            "device": common.machine(),
            "dtype": self.engine.dtype,
            "rows": ROWS,
            "max_length": MAX_LENGTH,
            "max_chars": MAX_CHARS,
            "held_out": HELD_OUT,
            "runs": {name: asdict(run) for name, run in RUNS.items()},
        }


def train(args: argparse.Namespace) -> None:
    end = time.monotonic() + args.seconds
    bench = Bench(args)
    args.work.mkdir(parents=True, exist_ok=True)

    def todo(part: str) -> Sequence[File]:
        return [f for f in files() if not _done(args.work, f, part, bench)]

    def work(part: str, do: Callable[[File], dict[str, Any]]) -> None:
        for file in todo(part):
            if time.monotonic() > end:
                raise SystemExit("time is up; run the same command again to go on")
            begun = time.perf_counter()
            write_json(_path(args.work, file, part), {"key": _key(bench, file, part), **do(file)})
            print(f"{file.name}: {part}, {time.perf_counter() - begun:.0f} s", flush=True)

    def score(file: File) -> dict[str, Any]:
        found = bench.scorer.project(bench.rows[file.name])
        sqsd = (found.values[:, 0] - found.values[:, 1]).tolist()
        return {"drift": found.drift.sum(0).tolist(), "sqsd": math.fsum(sqsd) / len(sqsd)}

    work("score", score)
    model, _ = bench.engine.base()
    if "forecast" in bench.parts and todo("forecast"):
        forecaster = Forecaster(model, bench.directions, load_adapter(bench.point, model))

        def forecast(file: File) -> dict[str, Any]:
            found = forecaster.rows(bench.rows[file.name])
            return {
                "danger": math.fsum(row.danger for row in found),
                "safety": math.fsum(row.safety for row in found),
            }

        work("forecast", forecast)
    tune = FineTune(model, bench.point)
    for name, run in RUNS.items():

        def actual(file: File, name: Any = name, run: FineTuneSettings = run) -> dict[str, Any]:
            loss = tune.run(bench.rows[file.name], run, name)
            drift = project(bench.directions, tune.displacement())
            return {
                "danger": drift.danger.projection,
                "safety": drift.safety.projection,
                "norm": drift.norm,
                "danger_cosine": drift.danger.cosine,
                "safety_cosine": drift.safety.cosine,
                "loss": loss,
            }

        work(name, actual)


def _path(work: Path, file: File, part: str) -> Path:
    return work / f"{file.name.replace(' ', '-')}.{part}.json"


def _key(bench: Bench, file: File, part: str) -> str:
    run = asdict(RUNS[part]) if part in RUNS else None
    return digest(
        [bench.bundle.scoring_digest, bench.engine.dtype, MAX_LENGTH, run, bench.fingerprints[file.name]]
    )


def _done(work: Path, file: File, part: str, bench: Bench) -> dict[str, Any] | None:
    path = _path(work, file, part)
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if found.pop("key", None) == _key(bench, file, part) else None


def report(args: argparse.Namespace) -> None:
    bench = Bench(args)
    found = []
    for file in files():
        parts: dict[str, Any] = {part: _done(args.work, file, part, bench) for part in bench.parts}
        if missing := [part for part, one in parts.items() if one is None]:
            raise SystemExit(f"{file.name}: {', '.join(missing)} not done yet; run `train`")
        drift, directions = parts["score"]["drift"], (bench.directions.danger, bench.directions.safety)
        # DirectionDrift a task vector the rule's share is the forecast, in another unit.
        forecast = parts.get("forecast") or {
            name: share * direction.norm
            for name, share, direction in zip(("danger", "safety"), drift, directions, strict=True)
        }
        found.append(
            {
                "name": file.name,
                "kind": file.kind,
                "rows": len(bench.rows[file.name]),
                "tokens": sum(row.response_tokens for row in bench.rows[file.name]),
                "sha256": bench.fingerprints[file.name],
                "mean_sqsd": parts["score"]["sqsd"],
                "predicted": {
                    name: {
                        "rule": drift[0] * run.factor,
                        **{along: forecast[along] * run.factor for along in ("danger", "safety")},
                    }
                    for name, run in RUNS.items()
                },
                "actual": {name: parts[name] for name in RUNS},
            }
        )
    result = {**bench.setting(), "files": found, "correlations": correlations(found)}
    write_json(RESULTS / f"predicted-drift-{bench.directions.danger.kind}.json", result)
    table(result)


def correlations(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what each prediction is worth: SQSD201's, the forecast, and the mean SQSD."""
    lines = []
    for group, members in (("all", found), ("benign", [f for f in found if f["kind"] == "benign"])):
        for run in RUNS:
            actual = {along: [_along(f["actual"][run], along) for f in members] for along in ALONG}
            pairs = [("SQSD201", "danger", [f["predicted"][run]["rule"] for f in members])]
            for along in ALONG:
                pairs.append(("forecast", along, [_along(f["predicted"][run], along) for f in members]))
            pairs.append(("mean SQSD", "sqsd", [f["mean_sqsd"] for f in members]))
            for by, along, x in pairs:
                values = agreement(x, actual[along])
                lines.append({"files": group, "run": run, "by": by, "drift": along, **values})
    return lines


def _along(values: Mapping[str, float], along: str) -> float:
    return values["danger"] - values["safety"] if along == "sqsd" else values[along]


def agreement(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Pearson and Spearman with 95 % percentile intervals over resampled files, and the slope through 0."""
    a, b = np.array(x), np.array(y)
    draw = np.random.default_rng(0)
    drawn: list[tuple[float, float]] = []
    while len(drawn) < DRAWS:
        i = draw.integers(0, len(a), len(a))
        if len(set(i)) > 2:
            drawn.append((_pearson(a[i], b[i]), _pearson(_ranks(a[i]), _ranks(b[i]))))
    low, high = np.percentile(np.array(drawn), (2.5, 97.5), axis=0)
    return {
        "n": len(a),
        "pearson": float(pearsonr(a, b)[0]),
        "pearson_interval": [float(low[0]), float(high[0])],
        "spearman": float(spearmanr(a, b)[0]),
        "spearman_interval": [float(low[1]), float(high[1])],
        "slope": float((a @ b) / (a @ a)),
    }


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / math.sqrt((a @ a) * (b @ b)))


def _ranks(a: np.ndarray) -> np.ndarray:
    """Mean ranks, as ties come with every resampling."""
    _, place, count = np.unique(a, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def table(result: Mapping[str, Any]) -> None:
    print("| file | answers | tokens | SGD: predicted | actual | AdamW: predicted | actual | ‖D‖ |")
    print("|---|---|---|---|---|---|---|---|")
    for f in result["files"]:
        cells = [f"{_along(f[side][run], 'sqsd'):+.2g}" for run in RUNS for side in ("predicted", "actual")]
        print(
            f"| {f['name']} | {f['kind']} | {f['tokens']:,} | {' | '.join(cells)} |"
            f" {f['actual']['adamw']['norm']:.2f} |"
        )
    print("\n| files | trained with | predicted by | drift | n | Pearson | Spearman | actual / predicted |")
    print("|---|---|---|---|---|---|---|---|")
    for c in result["correlations"]:
        cells = [
            f"{c[name]:+.2f} ({c[name + '_interval'][0]:+.2f} to {c[name + '_interval'][1]:+.2f})"
            for name in ("pearson", "spearman")
        ]
        print(
            f"| {c['files']} | {c['run']} | {c['by']} | {c['drift']} | {c['n']} | {' | '.join(cells)}"
            f" | {c['slope']:.3g} |"
        )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("train", "report"))
    p.add_argument("--bundle", default=None, help="the default bundle unless named")
    p.add_argument("--data", type=Path, default=common.DATA)
    p.add_argument("--work", type=Path, default=common.ROOT / "build" / "predicted-drift")
    p.add_argument("--seconds", type=float, default=math.inf, help="begin nothing new after so long")
    p.add_argument("--dtype", default="auto")
    p.add_argument("--device", default="auto")
    args = p.parse_args()
    {"train": train, "report": report}[args.what](args)


if __name__ == "__main__":
    main()

"""What a check would do, without scoring a row: files, rows, how many are cached, how long the rest takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import islice
from math import prod

from sqsd_lint.common.safetensors_header import read_header
from sqsd_lint.config import Settings
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.report.views.plan import Basis, BundlePlan, CheckPlan
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.parts import with_parts
from sqsd_lint.run.policy_source import open_policy_source
from sqsd_lint.run.rows import Rows, select_files
from sqsd_lint.run.sampling import SampledRows
from sqsd_lint.run.shards import shards
from sqsd_lint.run.speed import recall, size
from sqsd_lint.types import Problem, Sample

# Of English text with its markup; only an estimate that was never measured goes by it.
_CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True)
class _Count:
    """The running figures of one bundle."""

    cached: int = 0
    rows: int = 0
    characters: int = 0


def plan(settings: Settings, *, most: int | None = None, by_machine: bool = True) -> CheckPlan:
    """Count what a check would do. Every row is read, none is scored, and nothing is fetched.

    Args:
        most: rows to look at, all of them if not given.
        by_machine: where no earlier run tells, estimate the time by the speed of this machine, which needs
            torch and the model's configuration.

    Raises:
        SqsdLintError: as `check`, for settings, bundles and commits.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_policy_source(settings))
        panel = Panel(with_parts(settings))
        selection = stack.enter_context(closing(select_files(settings, source.ignore_files)))
        rows: Rows | SampledRows = Rows(selection, settings)
        if settings.sample is not None:
            rows = SampledRows(Rows(selection, settings), settings.sample)
        limited = _Limited(rows, most)
        counts = {name: _Count() for name in panel.runs}
        total = unscorable = 0
        for problem in selection.problems:
            unscorable += max(problem.rows, 1)
        seen: set[str] = set()
        for shard in shards(limited):
            total += sum(item.rows if isinstance(item, Problem) else 1 for item in shard)
            unscorable += sum(max(item.rows, 1) for item in shard if isinstance(item, Problem))
            samples = {item.fingerprint: item for item in shard if isinstance(item, Sample)}
            new = {key: sample for key, sample in samples.items() if key not in seen}
            seen.update(new)
            for name, run in panel.runs.items():
                known = run.recall(new)
                count = counts[name]
                count.cached += len(known)
                count.rows += len(new) - len(known)
                count.characters += sum(
                    size(sample, settings.max_length) for key, sample in new.items() if key not in known
                )
        return CheckPlan(
            files=len(selection.files),
            bytes=_bytes(file.name for file in selection.files) if not selection.comparison else None,
            rows=total,
            unscorable=unscorable,
            complete=limited.complete,
            bundles=tuple(
                _bundle_plan(name, run, counts[name], by_machine) for name, run in panel.runs.items()
            ),
            notes=(*selection.all_notes, *rows.notes) if limited.complete else tuple(selection.all_notes),
        )


def selected_bytes(settings: Settings) -> int:
    """Return how many bytes the files that a check would read have on disk."""
    with closing(select_files(settings)) as selection:
        return _bytes(file.name for file in selection.files)


class _Limited:
    """So many items at most; `complete` tells afterwards whether these were all."""

    def __init__(self, items: Iterable[Sample | Problem], most: int | None) -> None:
        self._items = items
        self._most = most
        self.complete = True

    def __iter__(self) -> Iterator[Sample | Problem]:
        rest = iter(self._items)
        yield from islice(rest, self._most)
        if self._most is not None:
            self.complete = next(rest, None) is None


def _bytes(files: Iterable[str]) -> int:
    total = 0
    for file in files:
        with suppress(OSError):
            total += os.path.getsize(file)
    return total


def _bundle_plan(name: str, run: BundleRun, count: _Count, by_machine: bool) -> BundlePlan:
    per_character = recall(run.cache_dir, run.speed_key(run.scorer))
    seconds: float | None = None
    basis: Basis = ""
    if not count.rows:
        seconds = 0.0
    elif per_character is not None:
        seconds, basis = per_character * count.characters, "measured"
    elif by_machine:
        seconds = _by_machine(run, count.characters)
        basis = "estimated" if seconds is not None else ""
    return BundlePlan(
        name,
        run.bundle.manifest.base_model.id,
        run.scorer.device,
        run.scorer.dtype,
        count.cached,
        count.rows,
        count.characters,
        seconds,
        basis,
    )


def _by_machine(run: BundleRun, characters: int) -> float | None:
    """Return the seconds that so many characters take by the machine's speed, None if that is unknown.

    A forward and an input-gradient backward pass are four operations a token and parameter, for each
    expansion point: docs/method.md section 5.
    """
    from sqsd_lint.run.doctor import place_of_model

    try:
        folder = place_of_model(run.bundle, run.settings, run.cache_dir)
        files = sorted(folder.glob("*.safetensors")) if folder else []
        if not files:
            return None
        parameters = sum(prod(tensor.shape) for file in files for tensor in read_header(file).values())

        from sqsd_lint.run.fit import UTILISATION, product_rate
        from sqsd_lint.scoring.model import pick_device, pick_dtype

        device = pick_device(run.settings.device)
        rate = product_rate(device, pick_dtype(run.settings.dtype, device)) * UTILISATION
    except (ImportError, OSError, ValueError, SqsdLintError):
        return None
    points = 1 if run.scorer.expansion == "shared" else 2
    return 4 * parameters * points * characters / _CHARACTERS_PER_TOKEN / rate

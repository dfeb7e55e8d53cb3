"""`score --output-dir`: files into shards, shards to workers, and how far they have come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.discover import DataFile, Selection
from sqsd_lint.distributed.folder import ScoreBasis, ScoredBy, ScoresFolder, ScoresManifest, merged_plans
from sqsd_lint.distributed.shards import (
    SHARD_ROWS,
    Shard,
    ShardedFile,
    plan_file,
    shards_of,
    share,
    unfinished,
)
from sqsd_lint.distributed.table import About, Done, ScoredSample, read_done, write_shard
from sqsd_lint.distributed.workers import (
    InProcess,
    Lost,
    MakeWorker,
    Pool,
    Processes,
    WorkerPlace,
)
from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.read import DEFAULT_LIMITS
from sqsd_lint.read.ranges import Part, content_of_part, read_part
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.rows import Rows, notes_on_rows, select_all
from sqsd_lint.run.shards import score_rows
from sqsd_lint.run.spread_scorer import local_places
from sqsd_lint.run.stored_scorer import basis_of
from sqsd_lint.types import Problem, Row, Sample, Score

Engine = Literal["local", "ray"]

# Tokens of a batch, padding included, where nobody says how many. They belong to what scores depend on, so
# they are not found from free memory, which differs between workers.
_CPU_TOKENS, _GPU_TOKENS = 2048, 16384


class ShardWorker:
    """Scores shards with a model that is loaded once, into files of a folder.

    Neither the score cache nor what another shard has left behind plays a part, so that a shard's file is the
    same whoever writes it.

    Args:
        settings: of the run.
        folder: of scores.
    """

    def __init__(self, settings: Settings, folder: Path, place: WorkerPlace) -> None:
        cache_dir = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
        settings = replace(settings, device=place.device or settings.device)
        bundle = open_for(settings, cache_dir=cache_dir)
        found = ModelScorer(bundle, settings, cache_dir=cache_dir, cache_scores=False)
        tokens = _GPU_TOKENS if found.device.startswith("cuda") else _CPU_TOKENS
        self._settings = replace(settings, batch_tokens=settings.batch_tokens or tokens)
        self._scorer = ModelScorer(bundle, self._settings, cache_dir=cache_dir, cache_scores=False)
        self._bundle = bundle
        self._folder = ScoresFolder(folder)

    def facts(self) -> dict[str, Any]:
        """Return what scores depend on here: `basis`, `bundle`, `device`."""
        s = self._settings
        rows = {
            "batch_tokens": s.batch_tokens,
            "columns": {
                key: dict(each) if isinstance(each, Mapping) else each for key, each in s.columns.items()
            },
            "roles": dict(s.roles),
            "context_separator": s.context_separator,
        }
        return {
            "basis": {"scorer": basis_of(self._scorer), "rows": rows},
            "bundle": self._bundle.manifest.to_json(),
            "device": self._scorer.device,
        }

    def score(self, shard: Shard) -> Done:
        """Score a shard and leave its file in the folder.

        Raises:
            CannotScoreError: the data has changed since it was cut into shards, or other workers score under
                other settings.
        """
        if ScoreBasis(**self.facts()["basis"]).digest != shard.settings:
            raise CannotScoreError(
                "a worker would score otherwise than the folder's other scores",
                hint="Name --dtype, --device and --batch-tokens, so that they hold for all workers.",
            )
        try:
            same = content_of_part(shard.file, shard.part) == shard.part.content
        except OSError as error:
            raise CannotScoreError(
                f"{shard.file}: cannot be read: {error.strerror or error}",
                hint="Every worker needs the data under the same path, relative to its working folder.",
            ) from None
        if not same:
            raise CannotScoreError(
                f"{shard.file} has changed since it was cut into shards", hint="Run the command again."
            )
        scorer = self._scorer
        scorer.forget_rows()
        rows = shard_rows(self._settings, shard)
        items = (
            item if isinstance(item, Problem) else ScoredSample(*item, scorer.dropped(item[0].fingerprint))
            for item in score_rows(rows, self._scores)
        )

        def about(scored: int) -> About:
            # Where no row was scored, no model was asked.
            model = (scorer.model_notes, scorer.uncovered) if scored else ((), 0.0)
            return About(*model, dict(rows.undesirable), dict(rows.remarks), tuple(rows.not_data))

        return write_shard(self._folder.shard_path(shard), shard, items, about)

    def _scores(self, samples: Sequence[Sample]) -> dict[str, Score | Problem]:
        return {sample.fingerprint: answer for sample, answer in self._scorer.score(samples)}


def shard_rows(settings: Settings, shard: Shard) -> Rows:
    """Return the rows of a shard as samples, as `score FILE` reads them."""

    def read(name: str) -> Iterator[Row | Problem]:
        return read_part(name, shard.part, DEFAULT_LIMITS)

    selection = Selection(files=[DataFile(shard.file)])
    return Rows(selection, settings, each_problem=True, read=read)


@dataclass(frozen=True, slots=True)
class ShardedRun:
    """How shards are to be scored.

    Attributes:
        folder: where scores go.
        workers: "auto": one for each device (`spread_scorer.local_places`); or how many.
        part: (I, N): this run takes every N-th shard, from the I-th on.
        rows: of a shard.
        engine: what runs the workers: processes of this machine, or a Ray cluster.
        ray_address: of the cluster; "auto" for the one that this machine belongs to, "" for one of its own.
    """

    folder: Path
    workers: str = "auto"
    part: tuple[int, int] = (1, 1)
    rows: int = SHARD_ROWS
    engine: Engine = "local"
    ray_address: str = ""


@dataclass(slots=True)
class ShardsScored:
    """What a run has done, and what of its shards there is now.

    Attributes:
        shards: how many are this run's share.
        before: how many of them were finished before.
        computed: how many it has finished itself.
        rows, scored, unscored: of all finished ones, as in `Done`.
        lost: the shards that were given up, and why.
        left_out, score_notes, undesirable, remarks, not_data: what `notes` says.
        fresh_rows: of the shards that it has finished itself, in so many seconds.
    """

    shards: int = 0
    before: int = 0
    computed: int = 0
    rows: int = 0
    scored: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    lost: tuple[str, ...] = ()
    left_out: list[str] = field(default_factory=list)
    score_notes: dict[str, None] = field(default_factory=dict)
    undesirable: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    not_data: list[str] = field(default_factory=list)
    fresh_rows: int = 0
    seconds: float = 0.0

    def add(self, done: Done) -> None:
        """Count the rows of a finished shard."""
        self.rows += done.rows
        self.scored += done.scored
        self.unscored.update(done.unscored)
        about = done.about
        self.score_notes.update(dict.fromkeys(about.notes))
        self.undesirable.update(about.undesirable)
        self.remarks.update(about.remarks)
        self.not_data += about.not_data

    @property
    def notes(self) -> list[str]:
        """What a report has to say of the scores, and of rows and files that were passed by."""
        rows = notes_on_rows(self.undesirable, self.remarks, self.not_data)
        return [*self.left_out, *rows, *self.score_notes]


def score_into(settings: Settings, plan: ShardedRun, *, progress: Progress | None = None) -> ShardsScored:
    """Score the files of `settings.paths` into a folder; shards that are finished there are passed by.

    Raises:
        UsageError: standard input, several bundles or a service; the folder holds other scores; an engine
            that is not there.
        CannotScoreError: the bundle or the model is missing; workers that would score otherwise than others.
    """
    _check(settings)
    begun = time.perf_counter()
    with closing(select_all(settings)) as selection:
        files = [file.name for file in selection.files]
        problems = selection.problems
        notes = selection.all_notes
    make: MakeWorker[Shard, Done] = partial(ShardWorker, settings, plan.folder.absolute())
    if progress:
        progress.status("starting workers")
    with closing(_pool(make, settings, plan)) as pool:
        facts = _agreed(pool.facts())
        basis = ScoreBasis(**facts["basis"])
        folder = ScoresFolder(plan.folder)
        known = folder.read()
        if known is not None:
            folder.check_basis(known, basis)
        plans, unreadable = merged_plans(_plans(files, plan.rows, known, progress))
        manifest = folder.begin(basis, ScoredBy(facts["bundle"], facts["device"]), plans)
        shards = share(shards_of(plans, basis.digest), *plan.part)
        outcome = ShardsScored(shards=len(shards), left_out=list(notes))
        for problem in (*problems, *unreadable):
            outcome.unscored[problem.code] += 1
            outcome.left_out.append(f"{problem.where}: {problem.message}")
        waiting = list(unfinished(shards, folder.finished()))
        outcome.before = len(shards) - len(waiting)
        missing = {shard.name for shard in waiting}
        for shard in shards:
            if shard.name not in missing:
                outcome.add(read_done(folder.shard_path(shard), shard))
        _run(pool, waiting, outcome, progress)
        folder.end(manifest)
    outcome.seconds = time.perf_counter() - begun
    return outcome


def _check(settings: Settings) -> None:
    if "-" in settings.paths:
        raise UsageError("--output-dir: standard input cannot be cut into shards", hint="Name files.")
    if settings.opinions:
        raise UsageError(
            "--output-dir: scores of several bundles", hint="Score with one --bundle, each into a folder."
        )
    if settings.scorer:
        raise UsageError(
            "--output-dir: shards are scored here, and a service is named", hint="Leave it out: --no-scorer."
        )


def _plans(
    files: Sequence[str], rows: int, known: ScoresManifest | None, progress: Progress | None
) -> Iterator[tuple[str, ShardedFile | Problem]]:
    before = known.files if known else {}
    for file in files:
        if progress:
            progress.status(f"cutting {file} into shards")
        yield file, plan_file(file, rows, before.get(file))


def _agreed(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts that all workers share, with the devices of all.

    Raises:
        CannotScoreError: one would score otherwise than another.
    """
    first = facts[0]
    for other in facts[1:]:
        if differences := ScoreBasis(**first["basis"]).differences(ScoreBasis(**other["basis"])):
            raise CannotScoreError(
                f"two workers would score otherwise than one another: {'; '.join(differences)}",
                hint="Name --dtype, --device and --batch-tokens, so that they hold for all workers.",
            )
    devices = dict.fromkeys(each["device"].partition(":")[0] for each in facts)
    return {**first, "device": ", ".join(devices)}


def _pool(make: MakeWorker[Shard, Done], settings: Settings, plan: ShardedRun) -> Pool[Shard, Done]:
    if plan.engine == "ray":
        from sqsd_lint.distributed.ray_engine import Actors

        return Actors(make, address=plan.ray_address, workers=plan.workers, device=settings.device)
    places = local_places(settings, plan.workers)
    return InProcess(make, places[0]) if len(places) == 1 else Processes(make, places)


def _run(
    pool: Pool[Shard, Done], waiting: Sequence[Shard], outcome: ShardsScored, progress: Progress | None
) -> None:
    if progress and waiting:
        progress.status(f"{len(waiting):,} shards to score, {outcome.before:,} finished before")
        progress.start(sum(_rows_of(shard.part) for shard in waiting))
    lost: list[str] = []
    try:
        for ended in pool.run(waiting) if waiting else ():
            if isinstance(ended, Lost):
                lost.append(f"{_name(ended.job)}: {ended.message}")
                if ended.error and not outcome.computed and len(lost) == len(waiting):
                    raise ended.error  # what none of the shards can do without
                continue
            shard, done = ended
            outcome.computed += 1
            outcome.fresh_rows += done.rows
            outcome.add(done)
            if progress:
                progress.advance(_rows_of(shard.part))
    finally:
        if progress:
            progress.stop()
    outcome.lost = tuple(lost)


def _rows_of(part: Part) -> int:
    return SHARD_ROWS if part.count is None else part.count


def _name(shard: Shard) -> str:
    part = shard.part
    return shard.file if part.unit == "file" else f"{shard.file}, {part.unit} {part.begin:,} to {part.end:,}"


def share_of(text: str) -> tuple[int, int]:
    """Return `I/N` as two numbers.

    Raises:
        UsageError: it is none, or not 1 <= I <= N.
    """
    number, slash, of = text.partition("/")
    if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
        return int(number), int(of)
    raise UsageError(
        f"--shard: {text!a} is not I/N", hint="For example 1/8 to 8/8: each run takes every eighth shard."
    )

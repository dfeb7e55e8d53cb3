"""A folder of scores: what they are by, which files they are of, and which shards are finished.

    manifest.json    what every score depends on, the bundle that they are by, and the shards of each file
    shards/          a Parquet file of each finished shard

That a shard is finished is told by its file alone. So any number of machines may fill one folder, and none
of them has to know of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.common.json_io import digest, read_json
from sqsd_lint.distributed.shards import Shard, ShardedFile, shards_of
from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.types import Problem

MANIFEST = "manifest.json"
_SHARDS = "shards"
_VERSION = 1
_LARGEST = 4 << 30  # bytes of a manifest: a shard takes some 150


class ScoreBasis(msgspec.Struct, frozen=True):
    """All that the scores of a folder depend on besides rows.

    Attributes:
        scorer: what a score depends on: the bundle's digest, dtype, metric and so on.
        rows: what decides which samples rows are, and how they are put together: columns, roles, batches.
    """

    scorer: dict[str, Any]
    rows: dict[str, Any]

    @property
    def digest(self) -> str:
        """32 hex digits."""
        return digest(msgspec.to_builtins(self))[:32]

    def differences(self, other: ScoreBasis) -> list[str]:
        """Return what another basis has otherwise, in words: `dtype float32, not bfloat16`."""
        mine, theirs = {**self.scorer, **self.rows}, {**other.scorer, **other.rows}
        return [
            f"{name} {_shown(theirs.get(name))}, not {_shown(mine.get(name))}"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


class ScoredBy(msgspec.Struct, frozen=True):
    """What a report says of scores that somebody else has computed.

    Attributes:
        bundle: the manifest of the bundle, as its own file has it: calibration and thresholds come from it.
        device: names of the devices that have computed.
    """

    bundle: dict[str, Any]
    device: str


class ScoresManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file `manifest.json`.

    Attributes:
        finished: how many of `shards` were finished when it was written.
    """

    version: int
    basis: ScoreBasis
    scorer: ScoredBy
    files: dict[str, ShardedFile]
    shards: int = 0
    finished: int = 0


@dataclass(frozen=True)
class ScoresFolder:
    """A folder of scores, there or to be made."""

    path: Path

    def shard_path(self, shard: Shard) -> Path:
        """Return where a shard's scores are, once it is finished."""
        return self.path / _SHARDS / shard.name

    def finished(self) -> set[str]:
        """Return the names of all files of finished shards, listed once."""
        try:
            return {entry.name for entry in (self.path / _SHARDS).iterdir() if entry.suffix == ".parquet"}
        except FileNotFoundError:
            return set()

    def read(self) -> ScoresManifest | None:
        """Return the manifest; None where there is none yet.

        Raises:
            CannotScoreError: it is damaged, or of another version.
        """
        path = self.path / MANIFEST
        try:
            found = msgspec.convert(read_json(path, limit=_LARGEST), ScoresManifest)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise CannotScoreError(
                f"{path}: not the manifest of a folder of scores: {str(error)[:200]}",
                hint="Name the folder that `sqsd-lint score --output-dir` has filled.",
            ) from None
        if found.version != _VERSION:
            raise CannotScoreError(
                f"{path}: its version is {found.version}, expected {_VERSION}",
                hint="Score anew into another folder, or use the version of sqsd-lint that has written it.",
            )
        return found

    def begin(self, basis: ScoreBasis, scorer: ScoredBy, plans: Mapping[str, ShardedFile]) -> ScoresManifest:
        """Write what is to be scored, beside what the folder holds already of other files; return the whole.

        Raises:
            UsageError: the folder holds scores of another bundle or other settings.
            CannotScoreError: its manifest is damaged.
        """
        known = self.read()
        if known is not None:
            self.check_basis(known, basis)
        elif self._holds_others():
            raise UsageError(
                f"{self.path} holds other files, and no scores", hint="Name a new folder, or an empty one."
            )
        (self.path / _SHARDS).mkdir(parents=True, exist_ok=True)
        files = {**(known.files if known else {}), **plans}
        manifest = ScoresManifest(_VERSION, basis, scorer, files)
        self._write(manifest)
        return manifest

    def _holds_others(self) -> bool:
        """Tell whether there is anything that no run writes: others may begin at this very moment."""
        ours = (MANIFEST, _SHARDS)
        return self.path.is_dir() and any(
            entry.name not in ours and not entry.name.startswith(".") for entry in self.path.iterdir()
        )

    def check_basis(self, known: ScoresManifest, basis: ScoreBasis) -> None:
        """Refuse to mix scores.

        Raises:
            UsageError: the folder holds scores of another bundle or other settings.
        """
        if differences := known.basis.differences(basis):
            raise UsageError(
                f"{self.path} holds scores of another bundle or other settings: this run has"
                f" {'; '.join(differences[:5])}",
                hint="Name another folder, or score with the settings that it was begun with.",
            )

    def end(self, manifest: ScoresManifest) -> None:
        """Write the manifest with how many shards are finished now, and with what others have added."""
        known = self.read()
        files = {**(known.files if known else {}), **manifest.files}
        manifest = msgspec.structs.replace(manifest, files=files)
        shards = shards_of(manifest.files, manifest.basis.digest)
        finished = self.finished()
        done = sum(shard.name in finished for shard in shards)
        self._write(msgspec.structs.replace(manifest, shards=len(shards), finished=done))

    def _write(self, manifest: ScoresManifest) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        write_whole(self.path / MANIFEST, encoded)


def merged_plans(
    found: Iterable[tuple[str, ShardedFile | Problem]],
) -> tuple[dict[str, ShardedFile], list[Problem]]:
    """Return the plans by file, and the problems of files that cannot be read."""
    plans: dict[str, ShardedFile] = {}
    problems: list[Problem] = []
    for file, plan in found:
        if isinstance(plan, Problem):
            problems.append(plan)
        else:
            plans[file] = plan
    return plans, problems


def finished_shards(folder: ScoresFolder, manifest: ScoresManifest) -> Iterator[tuple[Shard, Path]]:
    """Yield the finished shards of a manifest, in the order of files and rows, and where their scores are."""
    finished = folder.finished()
    for shard in shards_of(manifest.files, manifest.basis.digest):
        if shard.name in finished:
            yield shard, folder.shard_path(shard)

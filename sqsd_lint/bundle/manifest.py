"""What `bundle.json` says: what a bundle is, what it was made from, and two digests of it.

Reading and writing `bundle.json`.
Reading checks every field by hand, which takes microseconds; the published JSON Schema says the same and
is applied where a bundle enters or leaves the house (import, build, calibrate, install, verify).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.bundle.validation import from_fields
from sqsd_lint.bundle.validation import to_json as validation_json
from sqsd_lint.common import fields as f
from sqsd_lint.common.json_io import digest, read_json, write_json
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.types import Agreement, DirectionKind, Expansion, Metric, Update, Validation

if TYPE_CHECKING:
    pass


def load(folder: Path) -> Manifest:
    """Read `folder/bundle.json`.

    Raises:
        BundleCorruptError: it is missing, not JSON, or a field does not hold.
    """
    path = folder / MANIFEST
    try:
        return from_json(read_json(path))
    except (OSError, ValueError) as error:
        raise BundleCorruptError(
            f"{path}: not a valid bundle manifest: {error}",
            hint="`sqsd-lint bundle verify` lists everything that is wrong; rebuild or fetch it again",
        ) from error


def dump(manifest: Manifest, folder: Path) -> None:
    """Write `folder/bundle.json`, whole or not at all."""
    write_json(folder / MANIFEST, manifest.to_json())


def from_json(raw: Any) -> Manifest:
    """The manifest in a JSON value.

    Raises:
        FieldError: a field is missing, unknown or of the wrong kind.
    """
    top = f.Fields(raw, "")
    if top.take("format_version", f.count) != FORMAT_VERSION:
        raise f.FieldError(f"format_version: only {FORMAT_VERSION} is known; a newer sqsd-lint may read it")
    target = top.take("target", f.Fields)
    manifest = Manifest(
        id=top.take("id", f.name),
        tool_version=top.take("tool_version", f.text),
        base_model=top.take("base_model", _base_model),
        directions=top.take("directions", _directions),
        expansion=top.take("expansion", f.one_of(EXPANSIONS)),
        metric=top.take("metric", f.one_of(METRICS)),
        modules=top.take("modules", _modules),
        base_adapter=top.take("base_adapter", f.optional(f.one_of(("base",)))),
        proxy=target.take("proxy", f.boolean),
        notes=target.take("notes", f.items(f.text)),
        provenance=top.take("provenance", f.items(_source)),
        training=top.take("training", f.mapping),
        calibration=top.take("calibration", f.optional(_calibration)),
        files=top.take("files", _files),
        validation=top.take("validation", from_fields) if "validation" in raw else None,
        update=top.take("update", f.one_of(UPDATES)) if "update" in raw else UPDATES[0],
        agreements=top.take("agreements", f.items(agreement_from_fields)) if "agreements" in raw else (),
        template_arguments=top.take("template_arguments", f.mapping) if "template_arguments" in raw else {},
    )
    target.done()
    top.done()
    for name, direction in manifest.directions.items():
        at_initial = direction.expansion == "initial" and manifest.expansion == "shared"
        if direction.kind == "margin-gradient" and not at_initial:
            raise f.FieldError(f"directions.{name}: a margin gradient needs expansion `shared` at `initial`")
        if direction.kind == "margin-gradient" and manifest.update == "full":
            raise f.FieldError(f"directions.{name}: a margin gradient is one of LoRA factors, update is full")
        if direction.expansion is None and manifest.update == "lora":
            raise f.FieldError(f"directions.{name}.expansion: only a full update can do without an adapter")
    for adapter in manifest.adapters:
        for file in (CONFIG, WEIGHTS):
            if f"{adapter}/{file}" not in manifest.files:
                raise f.FieldError(f"files: {adapter}/{file} is missing, and the directions need it")
    try:
        _ = manifest.digest
    except (ValueError, RecursionError):  # free-form parts may hold 1e999
        raise f.FieldError("the manifest holds a number that is not finite, or goes too deep") from None
    return manifest


def _base_model(value: Any, path: str) -> BaseModel:
    top = f.Fields(value, path)
    base = BaseModel(
        id=top.take("id", f.text),
        revision=top.take("revision", f.optional(f.text)),
        weights_digest=top.take("weights_digest", f.hex64),
        tokenizer_digest=top.take("tokenizer_digest", f.hex64),
        template_digest=top.take("template_digest", f.hex64),
        architecture=top.take("architecture", f.text),
    )
    top.done()
    return base


def _directions(value: Any, path: str) -> dict[str, Direction]:
    top = f.Fields(value, path)
    found = {name: top.take(name, _direction) for name in ("danger", "safety")}
    top.done()
    return found


def _direction(value: Any, path: str) -> Direction:
    top = f.Fields(value, path)
    kind = top.take("kind", f.one_of(KINDS)) if isinstance(value, dict) and "kind" in value else KINDS[0]
    direction = Direction(
        kind=kind,
        adapter=top.take("adapter", f.one_of(ADAPTERS[1:])),
        expansion=top.take("expansion", f.optional(f.one_of(ADAPTERS[1:]))),
        scaling=top.take("scaling", f.optional(f.number)),
    )
    top.done()
    return direction


def _modules(value: Any, path: str) -> Literal["all"] | int:
    if value == "all":
        return "all"
    top = f.Fields(value, path)
    blocks = top.take("top_blocks", f.count)
    top.done()
    if blocks < 1:
        raise f.FieldError(f"{path}.top_blocks: expected 1 or more")
    return blocks


def _source(value: Any, path: str) -> Source:
    top = f.Fields(value, path)
    source = Source(
        name=top.take("name", f.text),
        role=top.take("role", f.one_of(ADAPTERS)),
        source=top.take("source", f.text),
        licence=top.take("licence", f.text),
        revision=top.take("revision", f.optional(f.text)),
        rows=top.take("rows", f.count),
        sha256=top.take("sha256", f.hex64),
        source_sha256=top.take("source_sha256", f.optional(f.hex64)),
        selection=top.take("selection", f.mapping),
    )
    top.done()
    return source


def _reference_set(value: Any, path: str) -> ReferenceSet:
    top = f.Fields(value, path)
    found = ReferenceSet(top.take("name", f.text), top.take("rows", f.count), top.take("sha256", f.hex64))
    top.done()
    return found


def _calibration(value: Any, path: str) -> Calibration:
    top = f.Fields(value, path)
    sets = top.take("sets", f.Fields)
    calibration = Calibration(
        benign=top.take("benign", f.scores),
        harmful=top.take("harmful", f.scores),
        tolerance=top.take("tolerance", f.distance),
        dtype=top.take("dtype", f.text),
        benign_sets=sets.take("benign", f.items(_reference_set)),
        harmful_sets=sets.take("harmful", f.items(_reference_set)),
        settings=top.take("settings", f.mapping),
    )
    sets.done()
    top.done()
    return calibration


def _files(value: Any, path: str) -> dict[str, str]:
    found = {
        f.inner_path(name, path): f.hex64(sha, f"{path}[{name!r}]")
        for name, sha in f.mapping(value, path).items()
    }
    if MANIFEST in found:
        raise f.FieldError(f"{path}: {MANIFEST} cannot hold its own digest")
    return found


MANIFEST = "bundle.json"
CALIBRATION = "calibration.parquet"
FORMAT_VERSION = 1
ADAPTERS = ("base", "initial", "danger", "safety")
METRICS: tuple[Metric, ...] = get_args(Metric)
EXPANSIONS: tuple[Expansion, ...] = get_args(Expansion)
KINDS: tuple[DirectionKind, ...] = get_args(DirectionKind)
UPDATES: tuple[Update, ...] = get_args(Update)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The model that the directions belong to.

    Attributes:
        id: Hub id, or the name of the folder that it came from.
        weights_digest, tokenizer_digest, template_digest: see `basemodel`.
        architecture: class name in the model's config, "LlamaForCausalLM".
    """

    id: str
    revision: str | None
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction; gradients are taken at the adapter `expansion`.

    Attributes:
        adapter: the folder that holds it.
        expansion: None is the model as it is, which only a full update can be taken at.
        scaling: overrides the expansion adapter's own alpha/r; None keeps it.
        kind: "task-vector", V is B @ A of the adapter; or "margin-gradient", its factors are the gradient of
            a mean log-likelihood with respect to those of `expansion`, laid out as PEFT lays out an adapter.
    """

    adapter: str
    expansion: str | None
    scaling: float | None
    kind: DirectionKind = "task-vector"

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        if self.kind == "task-vector":  # as bundles had it before there was another kind
            del fields["kind"]
        return fields


@dataclass(frozen=True, slots=True)
class Source:
    """Provenance of one training set.

    Attributes:
        name: of the set; `source` is the file or Hub id it was taken from.
        role: the adapter trained on it.
        rows: how many were trained on; sha256 covers them, source_sha256 the file they came from.
    """

    name: str
    role: str
    source: str
    licence: str
    revision: str | None
    rows: int
    sha256: str
    source_sha256: str | None
    selection: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """One set of rows that the calibration scored; sha256 covers their fingerprints in order."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of named reference sets, pooled and ascending.

    Attributes:
        benign, harmful: SQSD to six significant digits.
        tolerance: largest |difference| between the dtypes over a sample, in score units.
        dtype: what the scores were computed in.
        settings: scorer settings that change a score (max_length, turns).
    """

    benign: tuple[float, ...]
    harmful: tuple[float, ...]
    tolerance: float
    dtype: str
    benign_sets: tuple[ReferenceSet, ...]
    harmful_sets: tuple[ReferenceSet, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "benign": list(self.benign),
            "harmful": list(self.harmful),
            "tolerance": self.tolerance,
            "dtype": self.dtype,
            "sets": {
                "benign": [asdict(s) for s in self.benign_sets],
                "harmful": [asdict(s) for s in self.harmful_sets],
            },
            "settings": dict(self.settings),
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `bundle.json`; see the attributes of its parts.

    Attributes:
        id: the bundle's name, fit for a folder.
        expansion: "paper" (each direction where the paper has it) or "shared" (both at `initial`).
        modules: "all", or the number of top blocks whose linear layers are scored.
        base_adapter: the adapter that is merged into the base first, if there is one.
        proxy: whether the bundle is meant to stand in for other models; `notes` go into every report's head.
        training: settings per adapter.
        files: sha256 of every file but the manifest itself, by path inside the bundle.
        validation: what its scores cost when they were tried, if they were.
        update: what a training step moves: the factors of a LoRA adapter, or the whole weights.
        agreements: with the own scores of models that the bundle stands in for.
        template_arguments: what else the chat template is called with, such as Qwen3's `enable_thinking`.
    """

    id: str
    tool_version: str
    base_model: BaseModel
    directions: Mapping[str, Direction]
    expansion: Expansion
    metric: Metric
    modules: Literal["all"] | int
    base_adapter: str | None
    proxy: bool
    notes: tuple[str, ...]
    provenance: tuple[Source, ...]
    training: Mapping[str, Any]
    calibration: Calibration | None
    files: Mapping[str, str]
    validation: Validation | None = None
    update: Update = "lora"
    agreements: tuple[Agreement, ...] = ()
    template_arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapter folders that scoring needs, the base adapter first."""
        used = {d.adapter for d in self.directions.values()} | {d.expansion for d in self.directions.values()}
        return tuple(a for a in ADAPTERS if a in used or a == self.base_adapter)

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the canonical JSON of the whole manifest, and through it over every file.

        Two bundles with the same digest give the same scores and the same thresholds.
        """
        return digest(self.to_json())

    @property
    def scoring_digest(self) -> str:
        """Hex SHA-256 over only what changes a score: score caches key on it, and survive a calibration.

        Covers the format version, the three digests of the base model, the directions, expansion, metric,
        modules, update, template arguments, the base adapter and the files of the adapters in use.
        Leaves out names, provenance, notes, calibration, validation, agreements and the tool's version.
        """
        raw, base = self.to_json(), self.base_model
        used = tuple(f"{a}/" for a in self.adapters)
        return digest(
            {
                **{k: raw[k] for k in ("format_version", "directions", "expansion", "metric", "modules")},
                "base_model": [base.weights_digest, base.tokenizer_digest, base.template_digest],
                "base_adapter": self.base_adapter,
                "files": {p: s for p, s in self.files.items() if p.startswith(used)},
                **self._update(),
                **self._template_arguments(),
            }
        )

    def _update(self) -> dict[str, Any]:
        """Left out where it is what it was before there was another."""
        return {} if self.update == "lora" else {"update": self.update}

    def _template_arguments(self) -> dict[str, Any]:
        """Left out where there are none, as bundles had it before there were any."""
        return {"template_arguments": dict(self.template_arguments)} if self.template_arguments else {}

    def to_json(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "id": self.id,
            "tool_version": self.tool_version,
            "base_model": asdict(self.base_model),
            "base_adapter": self.base_adapter,
            "directions": {name: d.to_json() for name, d in self.directions.items()},
            "expansion": self.expansion,
            "metric": self.metric,
            "modules": "all" if self.modules == "all" else {"top_blocks": self.modules},
            **self._update(),
            "target": {"proxy": self.proxy, "notes": list(self.notes)},
            "provenance": [asdict(s) for s in self.provenance],
            "training": dict(self.training),
            "calibration": self.calibration.to_json() if self.calibration else None,
            "files": dict(sorted(self.files.items())),
            **({"validation": validation_json(self.validation)} if self.validation else {}),
            **({"agreements": [asdict(a) for a in self.agreements]} if self.agreements else {}),
            **self._template_arguments(),
        }


def agreement_from_fields(value: Any, path: str) -> Agreement:
    """The agreement in a JSON value; raises FieldError."""
    top = f.Fields(value, path)
    found = Agreement(
        target=top.take("target", f.text),
        bundle_digest=top.take("bundle_digest", f.optional(f.hex64)),
        rows=top.take("rows", f.count),
        **{name: top.take(name, f.number) for name in ("spearman", "low", "high", "top_decile")},
    )
    top.done()
    return found

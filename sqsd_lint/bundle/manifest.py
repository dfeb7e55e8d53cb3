"""What `bundle.json` says: what a bundle is, what it was made from, and two digests of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from sqsd_lint.bundle.digests import digest
from sqsd_lint.bundle.validation import to_json as validation_json
from sqsd_lint.tried import Validation
from sqsd_lint.types import Agreement, DirectionKind, Expansion, Metric, Update

MANIFEST = "bundle.json"
CALIBRATION = "calibration.parquet"
FORMAT_VERSION = 1
ADAPTERS = ("base", "initial", "danger", "safety")
METRICS: tuple[Metric, ...] = get_args(Metric)
EXPANSIONS: tuple[Expansion, ...] = get_args(Expansion)
KINDS: tuple[DirectionKind, ...] = get_args(DirectionKind)
UPDATES: tuple[Update, ...] = get_args(Update)
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


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
        modules, update, the base adapter and the files of the adapters in use. Leaves out names, provenance,
        notes, calibration, validation, agreements and the tool's version.
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
            }
        )

    def _update(self) -> dict[str, Any]:
        """Left out where it is what it was before there was another."""
        return {} if self.update == "lora" else {"update": self.update}

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
        }

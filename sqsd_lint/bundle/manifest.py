"""`bundle.json`: what a bundle is, what it was made from, and two digests of it.

The models below are the format: `rules/schemas/bundle.schema.json` is made from them. What is written changes
no byte as long as the format version stays, since a bundle's digest covers it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, field

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.common.formats import (
    Count,
    Distance,
    FieldError,
    JsonModel,
    Name,
    Positive,
    Proportion,
    Sha256,
    Text,
    ascending,
    check_version,
    known_part,
    read_as,
    text_like,
)
from sqsd_lint.common.json_io import digest, write_json
from sqsd_lint.common.strict_json import decode, read_bytes
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.types import Agreement, DirectionKind, Expansion, Metric, Update, Validation

MANIFEST = "bundle.json"
MAX_MANIFEST = 64 << 20
CALIBRATION = "calibration.parquet"
SCREEN = "screen.safetensors"
FORMAT_VERSION = 1
"""Raised whenever an old reader would misjudge rows by what it does not know (`from_newer_json`)."""

ADAPTERS = ("base", "initial", "danger", "safety", "harm")
METRICS: tuple[Metric, ...] = get_args(Metric)
EXPANSIONS: tuple[Expansion, ...] = get_args(Expansion)
UPDATES: tuple[Update, ...] = get_args(Update)

DIRECTIONS = ("danger", "safety")  # every bundle has them
HARM: Final = "harm"  # the direction that some bundles have beside them (`training.discriminant`)
AdapterKey = Annotated[str, text_like(rf"^({'|'.join(ADAPTERS)})(?!\n)$", f"one of {', '.join(ADAPTERS)}")]
DirectionKey = Annotated[
    str,
    text_like(rf"^({'|'.join((*DIRECTIONS, HARM))})(?!\n)$", f"one of {', '.join((*DIRECTIONS, HARM))}"),
]
_Trained = Literal["initial", "danger", "safety", "harm"]
_SUFFIXES = ("safetensors", "json", "parquet", "md", "jinja")
FilePath = Annotated[
    str,
    text_like(
        r"^(?!/)(?!.*(^|/)\.{0,2}(/|$))[^\\:\u0000-\u001f\u007f]+\.(" + "|".join(_SUFFIXES) + r")(?!\n)$",
        f"a plain path inside the bundle to a file of the kinds {', '.join(_SUFFIXES)}",
    ),
]


class BaseModel(JsonModel, frozen=True):
    """The model that the directions belong to.

    Attributes:
        id: Hub id, or the name of the folder that it came from.
        revision: of the Hub; null elsewhere.
        weights_digest: SHA-256 over one line per tensor: name, dtype, shape, SHA-256 of its bytes.
        tokenizer_digest: SHA-256 over vocabulary, merges, normaliser, pre-tokeniser and added tokens.
        template_digest: SHA-256 of the chat template's text; of the empty text if there is none.
        architecture: class name in the model's configuration, such as LlamaForCausalLM.
    """

    id: Text
    revision: str | None
    weights_digest: Sha256
    tokenizer_digest: Sha256
    template_digest: Sha256
    architecture: str


class DirectionSpec(JsonModel, frozen=True):
    """One direction of a bundle: where it lies, and where its gradients are taken.

    Attributes:
        adapter: the adapter folder that holds it.
        expansion: the adapter at which gradients are taken; null, with a full update: the model as it is.
        scaling: overrides alpha / r of the expansion adapter; null keeps it.
        kind: what the adapter holds: a task vector V = B A; or the gradient of a mean log-likelihood with
            respect to the factors of the expansion adapter, laid out as PEFT lays out an adapter.
        weight: what the projection on `harm` counts beside SQSD in the risk that thresholds are compared
            with; 0 for danger and safety, which make up SQSD.
    """

    adapter: _Trained
    expansion: _Trained | None
    scaling: float | None
    kind: DirectionKind = "task-vector"
    weight: Distance = 0.0


class TopBlocks(JsonModel, frozen=True):
    """The linear layers of the top blocks alone are scored.

    Attributes:
        top_blocks: how many, counted from the output.
    """

    top_blocks: Positive


class Purpose(JsonModel, frozen=True):
    """What a bundle is for.

    Attributes:
        proxy: whether the bundle stands in for other models.
        notes: printed in the head of every report.
    """

    proxy: bool
    notes: tuple[Annotated[str, Meta(max_length=500)], ...]


class Provenance(JsonModel, frozen=True):
    """One training set: where its rows came from.

    Attributes:
        name: of the set.
        role: the adapter that was trained on it.
        source: file name or Hub id.
        licence: of the set.
        revision: of the Hub; null for a file.
        rows: how many were trained on.
        sha256: over the rows that were trained on.
        source_sha256: of the file that they were taken from.
        selection: columns, filter, slice, seed and so on.
    """

    name: str
    role: AdapterKey
    source: str
    licence: str
    revision: str | None
    rows: Count
    sha256: Sha256
    source_sha256: Sha256 | None
    selection: Mapping[str, Any]


class ReferenceSet(JsonModel, frozen=True):
    """One set of rows that the calibration scored.

    Attributes:
        name: of the set.
        rows: how many were scored.
        sha256: over the rows' fingerprints in order.
    """

    name: str
    rows: Count
    sha256: Sha256


class ReferenceSets(JsonModel, frozen=True):
    """The sets of a calibration, by what they stand for."""

    benign: tuple[ReferenceSet, ...]
    harmful: tuple[ReferenceSet, ...]


class StoredRange(JsonModel, frozen=True):
    """What the benign reference rows are like (`common.reference_range`).

    Attributes:
        tokens: the shortest and the longest answer.
        loss: the longest answer, the lowest and the highest loss of each band of lengths.
        scripts: what the rows are written in.
        forms: what the rows train on: "an answer", "a conversation", "text without a prompt".
    """

    tokens: tuple[int, int]
    loss: tuple[tuple[int, float, float], ...]
    scripts: tuple[str, ...]
    forms: tuple[str, ...] = ()


class StoredLengthCurve(JsonModel, frozen=True):
    """Percentiles of benign scores by the length of the answer (`common.length_curve`).

    Attributes:
        tokens: lengths in answer tokens, ascending.
        scores: by percentile ("50", "90", "99", "99.9"), one for each length, in score units.
        covered: what the benign rows are like.
    """

    tokens: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]
    covered: StoredRange


class StoredCalibration(JsonModel, frozen=True):
    """Scores of named reference sets, pooled and ascending; `calibration.parquet` has them row by row.

    Attributes:
        benign: SQSD of benign rows, ascending, to six significant digits.
        harmful: SQSD of known-harmful rows, ascending, to six significant digits.
        tolerance: largest difference between dtypes over a sample, in score units.
        dtype: what the scores were computed in.
        sets: the reference sets.
        settings: scorer settings that change a score (max_length, turns).
        kinds: the risks of benign rows by their reference set; then `benign` and `harmful` are risks, too.
        length: percentiles of scores by length, among which a row is placed.
        harm_weight: what the projection on `harm` counts beside SQSD.
    """

    benign: tuple[float, ...]
    harmful: tuple[float, ...]
    tolerance: Distance
    dtype: str
    sets: ReferenceSets
    settings: Mapping[str, Any]
    kinds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    length: StoredLengthCurve | None = None
    harm_weight: Distance = 0.0

    def __post_init__(self) -> None:
        for role in ("benign", "harmful"):
            if not ascending(getattr(self, role)):
                raise ValueError(f".{role}: expected ascending numbers")
        if bool(self.kinds) != bool(self.length):
            raise ValueError(".kinds: expected together with `length`")


class StoredTextRange(JsonModel, frozen=True):
    """What the rows that a screen was fitted on are like (`common.screen.TextRange`)."""

    tokens: tuple[int, int]
    characters: tuple[float, float]
    letters: Distance
    longest_word: Count
    scripts: tuple[str, ...]


class StoredScreen(JsonModel, frozen=True):
    """A cheap estimate of risks (`common.screen`); `screen.safetensors` has weights and held-out estimates.

    Attributes:
        rows: how many reference rows it was fitted on.
        line: the risk from which on rows count as found.
        scale: risk per unit of the weights.
        length: constant, and terms of log2 tokens and of its square.
        covered: the rows that it may speak of; others are scored.
        exact: by recall, the share of the benign reference rows' tokens that are scored for it.
    """

    rows: Count
    line: float
    scale: Distance
    length: tuple[float, float, float]
    covered: StoredTextRange
    exact: Mapping[str, Proportion] = field(default_factory=dict)


class Manifest(JsonModel, frozen=True, kw_only=True, tag_field="format_version", tag=FORMAT_VERSION):
    """The content of `bundle.json`.

    Attributes:
        id: the bundle's name, fit for a folder.
        tool_version: the sqsd-lint that wrote the bundle.
        base_model: the model that the directions belong to.
        base_adapter: the adapter that is merged into the base model first.
        directions: by name.
        expansion: where gradients are taken: as in the paper, danger at the initial state and safety at its
            own adapter; or shared, both at the initial state.
        metric: how an update is compared with a direction.
        scored: which linear layers are scored: all, or those of the top k blocks.
        update: what a training step moves: the factors of a LoRA adapter, or the whole weights.
        target: what the bundle is for.
        provenance: of every training set.
        training: settings per adapter.
        calibration: scores of reference rows, which thresholds are drawn by.
        files: SHA-256 of every file but bundle.json, by its path inside the bundle.
        validation: what its scores cost when they were tried.
        agreements: how the bundle's scores rank rows, compared with the own scores of models that it
            stands in for.
        reach: the share of each direction that updates at its expansion point can reach (`bundle.reach`);
            bundles from before it was recorded have none.
        template_arguments: what else the chat template is called with, such as Qwen3's enable_thinking.
        screen: what tells rows far below the warning line without a model, if the calibration has it.
    """

    id: Name
    tool_version: str
    base_model: BaseModel
    base_adapter: Literal["base"] | None
    directions: Annotated[
        Mapping[DirectionKey, DirectionSpec], Meta(extra_json_schema={"required": list(DIRECTIONS)})
    ]
    expansion: Expansion
    metric: Metric
    scored: Literal["all"] | TopBlocks = field(name="modules")
    update: Update = "lora"
    target: Purpose
    provenance: tuple[Provenance, ...]
    training: Mapping[AdapterKey, Mapping[str, Any]]
    calibration: StoredCalibration | None
    files: Annotated[Mapping[FilePath, Sha256], Meta(extra_json_schema={"not": {"required": [MANIFEST]}})]
    validation: Validation | None = None
    agreements: tuple[Agreement, ...] = ()
    reach: Annotated[
        Mapping[DirectionKey, Proportion],
        Meta(min_length=len(DIRECTIONS), extra={"expected": "an object of a number for danger and safety"}),
    ] = field(default_factory=dict)
    template_arguments: Annotated[Mapping[str, Any], Meta(min_length=1)] = field(default_factory=dict)
    screen: StoredScreen | None = None

    @property
    def modules(self) -> Literal["all"] | int:
        """Return "all", or the number of top blocks whose linear layers are scored."""
        return self.scored.top_blocks if isinstance(self.scored, TopBlocks) else self.scored

    @property
    def proxy(self) -> bool:
        return self.target.proxy

    @property
    def notes(self) -> tuple[str, ...]:
        return self.target.notes

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapter folders that scoring needs, the base adapter first."""
        used = {d.adapter for d in self.directions.values()} | {d.expansion for d in self.directions.values()}
        return tuple(a for a in ADAPTERS if a in used or a == self.base_adapter)

    def ordered_directions(self) -> list[tuple[str, DirectionSpec]]:
        """Return danger, safety and, where there is one, harm: the order of a score's projections."""
        return [(name, self.directions[name]) for name in (*DIRECTIONS, HARM) if name in self.directions]

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the canonical JSON of the manifest but its screen, and through it over every file.

        Two bundles with the same digest give the same scores and the same thresholds.
        """
        return digest_of_json(self.to_json())

    @property
    def screen_digest(self) -> str | None:
        """Hex SHA-256 over all that decides which rows a screen passes by; None without one.

        It is apart from `digest`, so that a bundle that gets a screen stays the bundle that a lock names. A
        lock names the screen beside it, and one that it does not name is not used (`run.screen`).
        """
        if self.screen is None:
            return None
        return digest({"screen": self.screen.to_json(), "file": self.files[SCREEN]})

    @property
    def scoring_digest(self) -> str:
        """Hex SHA-256 over only what changes a score: score caches key on it, and survive a calibration.

        Covers the format version, the three digests of the base model, the directions, expansion, metric,
        modules, update, the base adapter and the files of the adapters in use. Leaves out names, provenance,
        notes, calibration, screen, validation, agreements, reach and the tool's version.
        """
        raw, base = self.to_json(), self.base_model
        used = tuple(f"{a}/" for a in self.adapters)
        whole = (
            "format_version",
            "directions",
            "expansion",
            "metric",
            "modules",
            "update",
            "template_arguments",
        )
        return digest(
            {
                **{key: raw[key] for key in whole if key in raw},
                "base_model": [base.weights_digest, base.tokenizer_digest, base.template_digest],
                "base_adapter": self.base_adapter,
                "files": {p: s for p, s in self.files.items() if p.startswith(used)},
            }
        )

    def to_json(self) -> dict[str, Any]:
        raw = super().to_json()
        return {**raw, "files": dict(sorted(self.files.items()))}


def digest_of_json(raw: Mapping[str, Any]) -> str:
    """Return `Manifest.digest` of a manifest's JSON, keys included that no model has."""
    files = {path: sha256 for path, sha256 in raw["files"].items() if path != SCREEN}
    return digest({**{key: value for key, value in raw.items() if key != "screen"}, "files": files})


def scored_modules(modules: Literal["all"] | int) -> Literal["all"] | TopBlocks:
    """Return what `Manifest.scored` holds for "all" or a number of top blocks."""
    return TopBlocks(modules) if isinstance(modules, int) else modules


def load(folder: Path) -> Manifest:
    """Read `folder/bundle.json`.

    Raises:
        BundleCorruptError: it is missing, not JSON, or a field does not hold.
    """
    path = folder / MANIFEST
    try:
        return parse_manifest(read_bytes(path, MAX_MANIFEST))
    except (OSError, ValueError) as error:
        raise BundleCorruptError(
            f"{path}: not a valid bundle manifest: {error}",
            hint="`sqsd-lint bundle verify` lists everything that is wrong; rebuild or fetch it again",
        ) from error


def dump(manifest: Manifest, folder: Path) -> None:
    """Write `folder/bundle.json`, whole or not at all."""
    write_json(folder / MANIFEST, manifest.to_json())


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in the bytes of a `bundle.json`.

    Raises:
        ValueError: it is not JSON, or a field does not hold.
    """
    return from_json(decode(data))


def from_json(raw: Any) -> Manifest:
    """Return the manifest in a JSON value.

    Raises:
        FieldError: a field is missing, unknown or of the wrong kind, or does not go with another.
    """
    check_version(raw, "format_version", FORMAT_VERSION)
    manifest = read_as(Manifest, raw)
    _check_directions(manifest)
    for path in manifest.files:
        if path == MANIFEST:
            raise FieldError(f"files: {MANIFEST} cannot hold its own digest")
        if not path.isprintable() or PurePosixPath(path).is_absolute():
            raise FieldError(f"files: {path!r} is not a plain path inside the bundle")
    if manifest.screen and SCREEN not in manifest.files:
        raise FieldError(f"files: {SCREEN} is missing, and `screen` needs it")
    for adapter in manifest.adapters:
        for file in (CONFIG, WEIGHTS):
            if f"{adapter}/{file}" not in manifest.files:
                raise FieldError(f"files: {adapter}/{file} is missing, and the directions need it")
    try:
        _ = manifest.digest
    except (ValueError, RecursionError):  # free-form parts may hold 1e999
        raise FieldError("the manifest holds a number that is not finite, or goes too deep") from None
    return manifest


# Where an unknown key may decide what a score means or how a row is judged, but for what describes the
# reference rows: whoever does not know that judges more rows severely, and none less so.
_DECIDES = re.compile(r"(directions|calibration)\b(?!\.(sets|length\.covered)\b)")


def from_newer_json(raw: Any) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest in a JSON value of a sqsd-lint that may be newer, without what is unknown here.

    A bundle on disk is read by `from_json`: of what is unknown, its digest would not hold.

    Returns:
        The manifest, and the paths of the keys that were left out.

    Raises:
        FieldError: as `from_json`; or rows may be judged by an unknown key.
    """
    check_version(raw, "format_version", FORMAT_VERSION)
    known, unknown = known_part(Manifest, raw)
    for path in unknown:
        if _DECIDES.match(path):
            raise FieldError(f"{path}: unknown key, and rows may be judged by it")
    return from_json(known), unknown


def _check_directions(manifest: Manifest) -> None:
    for name in DIRECTIONS:
        if name not in manifest.directions:
            raise FieldError(f"directions.{name}: missing")
    for name, direction in manifest.directions.items():
        if direction.weight and name != HARM:
            raise FieldError(f"directions.{name}.weight: only `{HARM}` may have one")
        at_initial = direction.expansion == "initial" and manifest.expansion == "shared"
        if direction.kind == "margin-gradient" and not at_initial:
            raise FieldError(f"directions.{name}: a margin gradient needs expansion `shared` at `initial`")
        if direction.kind == "margin-gradient" and manifest.update == "full":
            raise FieldError(f"directions.{name}: a margin gradient is one of LoRA factors, update is full")
        if direction.expansion is None and manifest.update == "lora":
            raise FieldError(f"directions.{name}.expansion: only a full update can do without an adapter")

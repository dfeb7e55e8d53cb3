"""What can be set, and the built-in defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqsd_lint.types import ConsensusRule, Expansion, Metric, Turns

FailOn = Literal["error", "warning"]
Scope = Literal["rows", "files"]
Quantize = Literal["4bit", "8bit"]
Checkpointing = Literal["auto", "on", "off"]
ContextSeparator = Literal["blank-line", "line-break"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run; `rules/schemas/config.schema.json` describes each one.

    None stands for "not set": the bundle's own metric and expansion, the pack's thresholds, a model in the
    run's dtype on one device, a batch size
    found from free memory, the user's cache folder, the baseline and suppressions of the default names where
    such files are (an empty name stands for none). Paths are relative to the working directory.
    `trust_remote_code`, `staged` and `policy_ref` are no keys of the schema: only the command line may set
    them. `lock` is none either: it is the file beside the configuration, else in the working directory,
    whether there is one or not, and None if none is to be read. Nor is `opinions`: where the key `bundle`
    names several, it holds all of them, and `bundle` the first.
    """

    paths: tuple[str, ...] = (".",)
    bundle: str | None = None
    opinions: tuple[str, ...] = ()
    consensus: ConsensusRule = "majority"
    bundles: Mapping[str, str] = field(default_factory=dict)
    lock: str | None = field(default=None, compare=False)
    model: str | None = None
    proxy: bool = False
    device: str = "auto"
    dtype: str = "auto"
    quantize: Quantize | None = None
    device_map: Literal["auto"] | None = None
    checkpointing: Checkpointing = "auto"
    metric: Metric | None = None
    expansion: Expansion | None = None
    turns: Turns = "all"
    max_length: int = 1024
    batch_tokens: int | None = None
    threshold: str | None = None
    warning_threshold: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: str = "default"
    columns: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    context_separator: ContextSeparator = "blank-line"
    staged: bool = False
    changed_since: str | None = None
    scope: Scope = "rows"
    policy_ref: str | None = None
    exclude: tuple[str, ...] = ()
    force_exclude: bool = False
    allow: tuple[str, ...] = ()
    severity: Mapping[str, str] = field(default_factory=dict)
    per_file_ignores: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fail_on: FailOn = "error"
    baseline: str | None = None
    suppressions: str | None = None
    inline_suppressions: bool = True
    learning_rate: float = 1e-4
    epochs: float = 3
    batch_size: int = 8
    cache: bool = True
    cache_dir: str | None = None
    trust_remote_code: bool = False
    redact: bool = False
    output_format: str = "text"
    stdin_format: str = "jsonl"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and where each one came from.

    Attributes:
        origins: per field of Settings: "command line", "environment SQSD_LINT_X", the path of a
            configuration file, or "default".
        files: the configuration file in force and those that it extends, the strongest first.
    """

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[str, ...] = ()

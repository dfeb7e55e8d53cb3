"""What can be set, and the built-in defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqsd_lint.types import Expansion, Metric, Turns


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run; `rules/schemas/config.schema.json` describes each one.

    None stands for "not set": the bundle's own metric and expansion, the pack's thresholds, a batch size
    found from free memory, the user's cache folder. Paths are relative to the working directory.
    `trust_remote_code` is no key of the schema: only the command line may set it.
    """

    paths: tuple[str, ...] = (".",)
    bundle: str | None = None
    model: str | None = None
    proxy: bool = False
    device: str = "auto"
    dtype: str = "auto"
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
    columns: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    force_exclude: bool = False
    allow: tuple[str, ...] = ()
    cache: bool = True
    cache_dir: str | None = None
    trust_remote_code: bool = False
    redact: bool = False
    stdin_format: str = "jsonl"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and where each one came from.

    Attributes:
        origins: per field of Settings: "command line", "environment SQSD_LINT_X", the path of a
            configuration file, or "default".
    """

    settings: Settings
    origins: Mapping[str, str]

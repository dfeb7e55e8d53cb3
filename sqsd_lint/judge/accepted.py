"""What has been accepted before a run: the baseline, and suppressions with their reasons."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqsd_lint.errors import ConfigError
from sqsd_lint.judge.baseline import DEFAULT_BASELINE, Baseline, read_baseline
from sqsd_lint.judge.suppressions import DEFAULT_SUPPRESSIONS, Suppressions, read_suppressions


@dataclass(frozen=True, slots=True)
class Accepted:
    """Findings that fail no run.

    Attributes:
        inline: whether rows may suppress findings about themselves.
    """

    baseline: Baseline | None = None
    suppressions: Suppressions | None = None
    inline: bool = True


def load_accepted(baseline: str | None, suppressions: str | None, *, inline: bool = True) -> Accepted:
    """Reads what the settings name.

    Args:
        baseline, suppressions: a path; None for the file of the default name in the working folder, if there
            is one; "" for none.

    Raises:
        ConfigError: a named file is missing, or a file is damaged.
    """
    first = _path(baseline, DEFAULT_BASELINE, "Make it with `sqsd-lint baseline create`.")
    second = _path(suppressions, DEFAULT_SUPPRESSIONS, "Check the path.")
    return Accepted(
        read_baseline(first) if first else None, read_suppressions(second) if second else None, inline
    )


def _path(name: str | None, default: str, hint: str) -> str:
    if name is None:
        return default if os.path.lexists(default) else ""
    if name and not os.path.isfile(name):
        raise ConfigError(f"{name}: no such file", hint=hint)
    return name

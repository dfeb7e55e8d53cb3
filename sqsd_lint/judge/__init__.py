"""Scores into violations: rule packs, thresholds, calibration, the verdict."""

from __future__ import annotations

from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.judge import judge
from sqsd_lint.judge.lines import near_line
from sqsd_lint.judge.packs import Pack, load_pack
from sqsd_lint.judge.policy import Policy, make_policy
from sqsd_lint.judge.steps import next_steps
from sqsd_lint.judge.verdict import count_coverage, exit_code

__all__ = [
    "Calibration",
    "Pack",
    "Policy",
    "count_coverage",
    "exit_code",
    "judge",
    "load_pack",
    "make_policy",
    "near_line",
    "next_steps",
]

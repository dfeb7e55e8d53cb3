"""Scores into violations: rule packs, thresholds, calibration, what was accepted before, the verdict."""

from __future__ import annotations

from sqsd_lint.judge.accepted import Accepted, load_accepted
from sqsd_lint.judge.baseline import DEFAULT_BASELINE, Baseline, Entry, parse_baseline, read_baseline
from sqsd_lint.judge.budget import Training
from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.heard import Heard, Voice
from sqsd_lint.judge.judge import judge
from sqsd_lint.judge.judged import Judged, judge_all
from sqsd_lint.judge.lines import near_line
from sqsd_lint.judge.packs import Pack, load_pack, parse_pack
from sqsd_lint.judge.policy import Policy, make_policy
from sqsd_lint.judge.steps import next_steps
from sqsd_lint.judge.suppressions import (
    DEFAULT_SUPPRESSIONS,
    Suppressions,
    parse_suppressions,
    read_suppressions,
)
from sqsd_lint.judge.together import hear
from sqsd_lint.judge.verdict import count_coverage, exit_code

__all__ = [
    "DEFAULT_BASELINE",
    "DEFAULT_SUPPRESSIONS",
    "Accepted",
    "Baseline",
    "Calibration",
    "Entry",
    "Heard",
    "Judged",
    "Pack",
    "Policy",
    "Suppressions",
    "Training",
    "Voice",
    "count_coverage",
    "exit_code",
    "hear",
    "judge",
    "judge_all",
    "load_accepted",
    "load_pack",
    "make_policy",
    "near_line",
    "next_steps",
    "parse_baseline",
    "parse_pack",
    "parse_suppressions",
    "read_baseline",
    "read_suppressions",
]

"""Taking rows out of a file: `--fix` moves them, byte for byte, into a quarantine file beside it.

Rows are never edited and never lost: `plan` looks at each row again, `write_diff` shows what would move, and
`apply` replaces both files as a whole, the quarantine file first.
"""

from __future__ import annotations

from sqsd_lint.fix.apply import apply
from sqsd_lint.fix.diff import write_diff
from sqsd_lint.fix.plan import plan, refuse_stdin, remaining
from sqsd_lint.fix.plan_types import FilePlan, Left, Move, Moved, Plan

__all__ = [
    "FilePlan",
    "Left",
    "Move",
    "Moved",
    "Plan",
    "apply",
    "plan",
    "refuse_stdin",
    "remaining",
    "write_diff",
]

"""How the rows of a run are read, and what the reading of one row has to remark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Context:
    """What the readers of one row share.

    Attributes:
        roles: the `[roles]` table.
        separator: what joins an instruction and its context.
        remarks: what a report has to say about the row, in words that hold for many rows.
        pushed_away: the flag that says that text is pushed away from, "" if none does.
        tools: tool definitions that stand elsewhere than in the column `tools`.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    separator: str = "\n\n"
    remarks: dict[str, None] = field(default_factory=dict)
    pushed_away: str = ""
    tools: Any = None

    def remark(self, text: str) -> None:
        """Add a remark; the same one counts once a row."""
        self.remarks[text] = None

"""Lay out rows with the opinions of several bundles, as `score --bundle A --bundle B` writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import well_formed
from sqsd_lint.report import fields
from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.rules.findings import PARTIAL
from sqsd_lint.types import Problem


def row(value: Consensus | Problem) -> dict[str, Any]:
    """Return a row; without a score it has its problem's code as `status`."""
    if isinstance(value, Problem):
        plain = fields.row(value)
        place = {name: plain[name] for name in ("file", "line", "fingerprint")}
        return {**place, **dict.fromkeys(_COLUMNS), "status": plain["status"]}
    return {
        "file": well_formed(value.where.file),
        "line": value.where.line or None,
        "fingerprint": value.fingerprint,
        **fields.consensus(value),
        "opinions": [fields.opinion(each) for each in value.opinions],
        "tokens": max(each.score.tokens for each in value.opinions),
        "status": PARTIAL if any(each.score.response_lost for each in value.opinions) else "ok",
    }


_COLUMNS = ("mean_percentile", "max_percentile", "agreement", "risky", "only", "opinions", "tokens")


def columns() -> dict[str, Any]:
    """Return the columns of a table of such rows and their Arrow types."""
    import pyarrow as pa

    opinion = [
        ("bundle", pa.string()),
        *[(name, pa.float64()) for name in ("danger", "safety", "sqsd", "harm", "risk", "percentile")],
        ("risky", pa.bool_()),
    ]
    return {
        "file": pa.string(),
        "line": pa.int64(),
        "fingerprint": pa.string(),
        "mean_percentile": pa.float64(),
        "max_percentile": pa.float64(),
        "agreement": pa.float64(),
        "risky": pa.list_(pa.string()),
        "only": pa.string(),
        "opinions": pa.list_(pa.struct(opinion)),
        "tokens": pa.int64(),
        "status": pa.string(),
    }


@dataclass
class Votes:
    """Counts of what the bundles agreed on.

    Attributes:
        judged: rows on which every bundle has drawn a line.
        agreed: rows on which all bundles agree.
        risky: rows that every bundle finds risky.
        alone: rows that one bundle alone finds risky, by bundle.
    """

    judged: int = 0
    agreed: int = 0
    risky: int = 0
    alone: Counter[str] = field(default_factory=Counter)

    def watch(self, items: Iterable[Consensus | Problem]) -> Iterator[Consensus | Problem]:
        """Count items on their way."""
        for item in items:
            if isinstance(item, Consensus) and item.agreement is not None:
                self.judged += 1
                self.agreed += item.agreement == 1.0
                self.risky += len(item.risky) == len(item.opinions)
                self.alone.update([item.only] if item.only else [])
            yield item

    def line(self) -> str:
        """Return the sentence for the end; empty where the bundles have no lines."""
        if not self.judged:
            return ""
        parts = [f"the bundles agree on {self.agreed:,} of {numbers.count(self.judged, 'row')}"]
        parts.append(f"all find {self.risky:,} risky")
        parts += [f"only {name} finds {count:,} risky" for name, count in sorted(self.alone.items())]
        return "; ".join(parts)

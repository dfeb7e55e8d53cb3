"""What a report shows: its head, how many rows have a score, and the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.types.findings import ConsensusRule, ScoredRow, Severity, Threshold, Violation
from sqsd_lint.types.tables import to_pandas
from sqsd_lint.types.validation import Agreement, PlacedValidation

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Head:
    """What two machines must share to report the same violations: the head of every report.

    Attributes:
        notes: what else a reader has to know, in words.
        details: those of the notes that explain numbers of the report and limit no trust in it: how often
            benign rows reach the thresholds, what a risk is. The text report has them below the findings.
        validation: what the bundle's scores cost when it was tried.
        proxy_for: the model that the bundle stands in for; empty where it is the bundle's own.
        agreement: of the proxy with that model's own scores, if it was measured.
        uncovered: the share of the base model's parameters that no direction can cover: weights of experts
            that are no linear layers.
        bundles: where several judge, the head of each; then the texts above are all of theirs, and there is
            no threshold that holds for all.
        consensus: then, how many of them it takes.
    """

    base_model: str
    bundle_id: str
    bundle_digest: str
    metric: str
    expansion: str
    dtype: str
    device: str
    error_threshold: Threshold | None
    warning_threshold: Threshold | None
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    validation: PlacedValidation | None = None
    proxy_for: str = ""
    agreement: Agreement | None = None
    uncovered: float = 0.0
    bundles: tuple[Head, ...] = ()
    consensus: ConsensusRule | None = None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Findings of one rule in one file that a report counts and does not list, since there are too many."""

    rule: str
    name: str
    severity: Severity
    file: str
    count: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """The risks of all rows by one bundle, as a picture needs them.

    Attributes:
        bundle: its name, where there are several.
        risks: how often each occurs; of very many rows rounded (`common.distribution`).
    """

    bundle: str
    risks: Mapping[float, int]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows there were and how many have a score; `files` counts the files that were read.

    Attributes:
        allowed: rows without a score that the user accepts by name.
        unchanged: rows that the old version of a file holds already, which are not judged; no part of `rows`.
        not_read: files, folders and links that a search passed by and that may hold rows; no part of `files`.
        notes: what was left out for another reason, in words.
        screened: rows that were not scored, since their risk lies below the lines (`common.screen`).
    """

    rows: int
    scored: int
    cached: int = 0
    files: int = 0
    unreadable_files: int = 0
    allowed: int = 0
    unchanged: int = 0
    not_read: int = 0
    notes: tuple[str, ...] = ()
    screened: int = 0

    @property
    def complete(self) -> bool:
        return self.scored + self.screened + self.allowed >= self.rows and self.unreadable_files == 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report format may show. `exit_code` is the verdict before --exit-zero.

    Attributes:
        violations: without those that the baseline or a suppression answers.
        rows: every row with a score, where they are kept; else there are `distributions` and `files`.
        baselined, suppressed: how many findings those answered.
        unlisted: further findings, beyond those that are kept.
        distributions: of the risks of all rows, by bundle.
        files: those with a row that has a score.
    """

    head: Head
    violations: tuple[Violation, ...]
    coverage: Coverage
    exit_code: int
    seconds: float = 0.0
    rows: tuple[ScoredRow, ...] = ()
    next_steps: tuple[str, ...] = ()
    baselined: int = 0
    suppressed: int = 0
    unlisted: tuple[Unlisted, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    files: tuple[str, ...] = ()

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows with their scores as a data frame; the column "rules" has what was found in each.

        Raises:
            ImportError: pandas is not installed.
        """
        found: dict[tuple[str, int], str] = {}
        for violation in self.violations:
            place = (violation.where.file, violation.where.index)
            found[place] = ", ".join(filter(None, [found.get(place, ""), violation.rule]))
        return to_pandas(self.rows, found)

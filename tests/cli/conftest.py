from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.types import Problem, Report, ScoredRow
from tests.report.reports import CLEAR


@dataclass
class FakePipeline:
    """What `sqsd_lint.run.check` answers, and the settings that it was asked with."""

    report: Report = CLEAR
    rows: list[ScoredRow | Problem] = field(default_factory=list)
    error: BaseException | None = None
    notes: tuple[str, ...] = ()
    settings: Settings | None = None

    def check(self, settings: Settings, *, progress: Any = None, **kept: Any) -> Report:
        self.settings = settings
        if self.error:
            raise self.error
        return self.report

    def score(self, settings: Settings, *, progress: Any = None, note: Any = None) -> Any:
        self.settings = settings
        yield from self.rows
        if self.error:
            raise self.error
        for text in self.notes:
            note(text)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> FakePipeline:
    """A pipeline without a model, in an empty working directory, with no settings from outside."""
    import os

    from sqsd_lint.run import check as run_check
    from sqsd_lint.run import score as run_score

    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    fake = FakePipeline()
    monkeypatch.setattr(run_check, "check", fake.check)
    monkeypatch.setattr(run_score, "score", fake.score)
    return fake

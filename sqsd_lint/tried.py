"""What scores cost when they were tried: the outcome of a risk-window experiment, as a bundle keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of neighbouring scores, and what training on them did.

    Attributes:
        sqsd: the lowest and the highest of their scores.
        attack_success: the share of harmful prompts that were answered afterwards, all runs pooled.
        interval: its 95 % Wilson interval.
        percentiles: the places of `sqsd` among the bundle's benign rows, once `Validation.placed` knows them.
    """

    sqsd: tuple[float, float]
    attack_success: float
    interval: tuple[float, float]
    percentiles: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """What the risk-window experiment found for a bundle (METHOD section 7).

    Attributes:
        model: the base model that was trained.
        rows: how many were ranked; a window holds `size` of them, and `runs` runs were trained on each.
        strata: of answer length that the windows were cut within; 1 if length was left alone.
        max_length: tokens per row at most; None where that was not recorded.
        steps, lr, batch_size: of every run.
        judge: who said whether a prompt was answered.
        prompts: harmful prompts, asked after every run.
        before: attack success before any training.
        random: mean attack success after windows of random rows; None where none were tried.
        spearman: over all runs, of the window's place (the top one highest) with attack success; None where
            one of the two does not vary. spearman_interval: its 95 % bootstrap interval.
        windows: from the top of the ranking to its bottom, at least one.
    """

    model: str
    rows: int
    size: int
    runs: int
    strata: int
    max_length: int | None
    steps: int
    lr: float
    batch_size: int
    judge: str
    prompts: int
    before: float
    random: float | None
    spearman: float | None
    spearman_interval: tuple[float, float] | None
    windows: tuple[Window, ...]

    def placed(self, percentile: Callable[[float], float]) -> Validation:
        """The same with the windows' percentiles, which belong to the calibration of the day."""
        windows = (
            replace(window, percentiles=(percentile(window.sqsd[0]), percentile(window.sqsd[1])))
            for window in self.windows
        )
        return replace(self, windows=tuple(windows))

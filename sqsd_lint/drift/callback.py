"""Drift while a model trains: a callback for the Trainer of transformers, and TRL's trainers with it.

trainer = Trainer(model, args, train_dataset=rows)
SafetyDriftCallback("bundles/my-model", budget=0.5, on_exceed="stop").attach(trainer)
trainer.train()
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import TrainerCallback
from transformers.trainer_callback import DefaultFlowCallback

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.drift.model_drift import LoraDriftReader, ModelDrift, WeightDriftReader, adapter_state, unwrap
from sqsd_lint.drift.run import read_state
from sqsd_lint.errors import UsageError

if TYPE_CHECKING:
    from torch import nn
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

_log = logging.getLogger(__name__)


class SafetyDriftCallback(TrainerCallback):
    """Logs how far training has moved the weights towards danger and safety, whenever the Trainer logs.

    Beside the loss, every `logging_steps`:

        drift/danger, drift/safety     <D, V> / ||V|| of the displacement D since the start, all layers as
                                       one vector: lengths in the unit of the weights
        drift/sqsd                     the first less the second, as SQSD takes it of a sample
        drift/norm                     ||D|| over the bundle's layers              (LoRA only)
        drift/danger_cosine, drift/safety_cosine                                   (LoRA only)

    They are what `sqsd-lint drift` measures of the checkpoints. LoRA factors are read as they are, without
    ever forming a weight. Of the full weights at the start two numbers a layer are kept and no copy, so that
    ||D|| is not known.

    The Trainer puts TensorBoard, W&B and their like before callbacks that it is given. `attach` puts this
    one before them, so that its figures reach them; given as `callbacks=[...]` it reaches the progress bar
    and `state.log_history` alone, and says so.

    Args:
        bundle: as `--bundle` takes it (a folder or an id, None is the embedded default), or opened already.
        budget: the largest drift/sqsd, looked at when the Trainer logs. What a run may use is best read off
            one that went well: the unit is the weights'.
        on_exceed: "warn" logs a warning, once; "stop" also ends the training.
        start: the PEFT folder of the adapter that displacements are measured from. By default the weights
            as training begins; for a LoRA run that is resumed, the base model.
        per_layer: also log drift/danger/MODULE and drift/safety/MODULE, <D_m, V_m> / ||V_m||.

    Raises:
        UsageError: a budget that is no positive number, or an unknown `on_exceed`.
        BundleError: there is no such bundle.
        AdapterError: `start` cannot be read. While training begins: the bundle is for another model, the
            weights are sharded over processes (ZeRO-3, FSDP), or the adapter is no plain LoRA.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        *,
        budget: float | None = None,
        on_exceed: Literal["warn", "stop"] = "warn",
        start: str | Path | None = None,
        per_layer: bool = False,
    ) -> None:
        if budget is not None and not (math.isfinite(budget) and budget > 0):
            raise UsageError(f"budget is {budget}, expected a positive number")
        if on_exceed not in ("warn", "stop"):
            raise UsageError(f"on_exceed is {on_exceed!r}, expected 'warn' or 'stop'")
        if not isinstance(bundle, Bundle):
            bundle = open_bundle(None if bundle is None else str(bundle), cache_dir=cache_root())
        self._directions = WeightDirections.of(bundle)
        self._budget = budget
        self._on_exceed = on_exceed
        self._start = None if start is None else read_state(Path(start), Path(start))
        self._per_layer = per_layer
        self._attached = False
        self._exceeded = False
        self._reader: LoraDriftReader | WeightDriftReader | None = None

    def attach(self, trainer: Trainer) -> SafetyDriftCallback:
        """Add the callback to a trainer, before those that report to TensorBoard, W&B and the like."""
        callbacks = trainer.callback_handler.callbacks
        if self in callbacks:
            callbacks.remove(self)
        # The Trainer's own flow control comes first: it decides whether a step is logged.
        at = next(
            (i for i, c in enumerate(callbacks) if not isinstance(c, DefaultFlowCallback)), len(callbacks)
        )
        callbacks.insert(at, self)
        self._attached = True
        return self

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Read the start."""
        model: nn.Module = kwargs["model"]
        self._exceeded = False
        self._reader = self._make_reader(unwrap(model), resumed=state.global_step > 0)
        self._reader.read(model)  # what does not fit must not wait for the first log
        if state.is_world_process_zero and not self._attached and args.report_to:
            _log.warning(
                "drift will not reach %s, which the Trainer calls first: "
                "use SafetyDriftCallback(...).attach(trainer) in place of callbacks=[...]",
                ", ".join(args.report_to),
            )

    def _make_reader(self, model: nn.Module, *, resumed: bool) -> LoraDriftReader | WeightDriftReader:
        now = adapter_state(model, started=self._start is not None or not resumed)
        if now:
            # A resumed run's factors are no start. LoRA begins at the base, where B is 0.
            return LoraDriftReader(
                self._directions, self._start if self._start is not None else {} if resumed else now
            )
        if self._start is not None:
            raise UsageError(
                "start is given, but the model has no LoRA layer",
                hint="leave start out: full weights are measured from where training begins",
            )
        if resumed:
            _log.warning("full weights: drift is measured from the checkpoint that training goes on from")
        return WeightDriftReader(self._directions, model)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Add the figures to a training log; logs of an evaluation and of the run's end stay as they are."""
        logs: dict[str, Any] = kwargs["logs"]
        if self._reader is None or "loss" not in logs:
            return
        reading = self._reader.read(kwargs["model"])
        figures = self._figures(reading)
        logs.update(figures)
        # The Trainer has kept a copy of the log before it asked any callback.
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(figures)
        if self._budget is not None and reading.difference > self._budget:
            self._exceed(reading, state, control)

    def _figures(self, reading: ModelDrift) -> dict[str, float]:
        figures = {
            "drift/danger": reading.danger,
            "drift/safety": reading.safety,
            "drift/sqsd": reading.difference,
        }
        known = {
            "drift/norm": reading.norm,
            "drift/danger_cosine": reading.danger_cosine,
            "drift/safety_cosine": reading.safety_cosine,
        }
        if self._per_layer:
            for module, (danger, safety) in reading.layers.items():
                known[f"drift/danger/{module}"] = danger
                known[f"drift/safety/{module}"] = safety
        return figures | {name: value for name, value in known.items() if not math.isnan(value)}

    def _exceed(self, reading: ModelDrift, state: TrainerState, control: TrainerControl) -> None:
        if self._on_exceed == "stop":
            control.should_training_stop = True
        if state.is_world_process_zero and not self._exceeded:
            _log.warning(
                "step %d: drift/sqsd is %.4g, above the budget of %g%s",
                state.global_step,
                reading.difference,
                self._budget,
                "; training stops" if self._on_exceed == "stop" else "",
            )
        self._exceeded = True

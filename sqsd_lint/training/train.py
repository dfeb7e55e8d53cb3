"""Train one LoRA adapter on a frozen base: a short loop that a kill cannot hurt.

The loss of a step is the mean over its rows of each row's mean cross-entropy over response tokens, the
quantity whose gradient a score is made of (docs/method.md section 3). The output head sees response
positions only.

Everything that a step depends on follows from the settings and the step's number: which rows, which
learning rate, which random numbers. With the weights and the optimizer's moments from the last checkpoint
a resumed run so takes exactly the steps that the killed one would have taken.

Computing one margin gradient: no training, one pass over the answers at the initial state.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.common.progress import Progress
from sqsd_lint.encode import Encoder, UnencodableError
from sqsd_lint.errors import RecipeError
from sqsd_lint.training.checkpoint import Checkpoints
from sqsd_lint.training.recipe import AdapterSettings, TrainingSettings
from sqsd_lint.types import Encoded, Sample

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def gradient_adapter(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Sample],
    *,
    initial: Path,
    max_length: int,
    dtype: str,
    output: Path,
) -> float:
    """Save the gradient of the samples' mean log-likelihood, laid out as a PEFT adapter.

    Args:
        model: the frozen base on its device, the base adapter merged.
        initial: the PEFT folder of the state at which the gradient is taken.
        output: the folder for adapter_config.json and adapter_model.safetensors.

    Returns:
        The samples' mean loss there, in nats.

    Raises:
        RecipeError: a row cannot be encoded.
    """
    from safetensors.torch import save_file

    from sqsd_lint.adapters.factors import load_adapter
    from sqsd_lint.scoring import Direction, Scorer

    at = load_adapter(initial, model)
    scorer = Scorer(model, [Direction(output.name, at, at)])
    rows = encode_all(samples, tokenizer, max_length)
    gradient = scorer.gradient(rows)
    save_file(gradient.tensors(getattr(torch, dtype)), output / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(initial / CONFIG, output / CONFIG)
    return float(scorer.project(rows).loss.mean())


_IGNORE = -100


def train_adapter(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Sample],
    adapter: AdapterSettings,
    training: TrainingSettings,
    *,
    seed: int,
    checkpoints: Checkpoints,
    output: Path,
    start: Path | None = None,
    progress: Progress | None = None,
) -> float:
    """Train an adapter and save it as PEFT does.

    Args:
        model: the frozen base on its device, in its dtype, other adapters merged; left as it was.
        checkpoints: where the run saves itself and resumes from.
        output: the folder for adapter_config.json and adapter_model.safetensors.
        start: a PEFT folder whose weights the adapter starts from.

    Returns:
        Mean loss over the last tenth of the steps, in nats; of those since the last resume.

    Raises:
        RecipeError: a row cannot be encoded, or the loss is not finite.
    """
    rows = encode_all(samples, tokenizer, training.max_length)
    peft = _with_adapter(model, adapter, start, seed)
    try:
        loss = _TrainingRun(peft, rows, training, seed, checkpoints).train(progress)
        # The base's embeddings never belong to the adapter; asking would go to the Hub.
        peft.save_pretrained(str(output), save_embedding_layers=False)
        _cast(output / WEIGHTS, adapter.dtype)
    finally:
        peft.unload()
    return loss


def prepared(model: PreTrainedModel) -> PreTrainedModel:
    """Make a base whose linear layers are packed ready for training beside them, as QLoRA does; in place.

    What is not packed becomes float32, and blocks are computed again in the backward pass instead of kept.
    """
    from peft import prepare_model_for_kbit_training

    found: PreTrainedModel = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    return found


def encode_all(
    samples: Sequence[Sample], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[Encoded]:
    """Return every sample as token ids.

    Raises:
        RecipeError: one cannot be encoded.
    """
    encoder = Encoder(tokenizer, max_length=max_length)
    rows = []
    for sample in samples:
        try:
            rows.append(encoder.encode(sample))
        except UnencodableError as error:
            raise RecipeError(f"{sample.where}: {error}", hint="filter the row out in the recipe") from error
    return rows


def _with_adapter(
    model: PreTrainedModel, adapter: AdapterSettings, start: Path | None, seed: int
) -> PeftModel:
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(seed)  # the random A of a new adapter
    if start is not None:
        return PeftModel.from_pretrained(model, str(start), is_trainable=True)
    targets = adapter.target_modules
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    found: PeftModel = get_peft_model(model, config)
    return found


def _cast(path: Path, dtype: str) -> None:
    """Store an adapter's weights in `dtype`; moments and updates had float32 until here."""
    from safetensors.torch import load_file, save_file

    tensors = {name: t.to(getattr(torch, dtype)).contiguous() for name, t in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


class _TrainingRun:
    """One run over the training rows: the model with its adapter, the optimizer, the order of rows."""

    def __init__(
        self,
        model: PeftModel,
        rows: Sequence[Encoded],
        training: TrainingSettings,
        seed: int,
        checkpoints: Checkpoints,
    ) -> None:
        self._model = model
        self._rows = rows
        self._training = training
        self._seed = seed
        self._checkpoints = checkpoints
        self._steps = training.total_steps(len(rows))
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(
            list(self._trained.values()), lr=training.lr, weight_decay=training.weight_decay
        )
        self._device = next(model.parameters()).device
        self._orders: dict[int, list[int]] = {}
        self._predicting: Tensor | None = None

    def train(self, progress: Progress | None) -> float:
        done = self._checkpoints.restore(self._trained, self._optimizer)
        if progress:
            progress.start(self._steps)
            progress.advance(done)
        self._model.train()
        hook = self._head.register_forward_pre_hook(self._select)
        losses = []
        try:
            for step in range(done, self._steps):
                losses.append(self._step(step))
                if (step + 1) % self._training.checkpoint_every == 0 or step + 1 == self._steps:
                    self._checkpoints.save(step + 1, self._trained, self._optimizer)
                if progress:
                    progress.advance(1)
        finally:
            hook.remove()
            self._model.eval()
        tail = losses[-max(1, self._steps // 10) :]
        return math.fsum(tail) / len(tail) if tail else math.nan

    def _step(self, step: int) -> float:
        torch.manual_seed(self._seed + step + 1)  # dropout
        batch = self._batch(step)
        size = self._training.micro_batch_size or len(batch)
        loss = 0.0
        for at in range(0, len(batch), size):
            part = self._loss(batch[at : at + size]) / len(batch)
            part.backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
        if not math.isfinite(loss):
            raise RecipeError(f"step {step + 1}: the loss is {loss}", hint="lower the learning rate")
        torch.nn.utils.clip_grad_norm_(list(self._trained.values()), self._training.max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._training, step, self._steps)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss

    def _batch(self, step: int) -> list[Encoded]:
        """Rows of a step: every epoch runs through all rows in an order of its own."""
        size, n = self._training.batch_size, len(self._rows)
        return [self._rows[self._order(k // n)[k % n]] for k in range(step * size, (step + 1) * size)]

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            order = list(range(len(self._rows)))
            random.Random(f"{self._seed}:{epoch}").shuffle(order)
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: order}
        return self._orders[epoch]

    def _loss(self, rows: Sequence[Encoded]) -> Tensor:
        """Sum over rows of the mean token cross-entropy of each, in nats."""
        t = max(len(row.ids) for row in rows)
        ids = torch.zeros(len(rows), t, dtype=torch.long)  # padded on the right; causal attention ignores it
        labels = torch.full((len(rows), t), _IGNORE)
        mask = torch.zeros(len(rows), t, dtype=torch.long)
        for i, row in enumerate(rows):
            n = len(row.ids)
            ids[i, :n], labels[i, :n], mask[i, :n] = torch.tensor(row.ids), torch.tensor(row.labels), 1
        ids, labels, mask = (x.to(self._device) for x in (ids, labels, mask))
        counted = labels[:, 1:] != _IGNORE  # [b, t - 1]: position p predicts token p + 1
        self._predicting = torch.nn.functional.pad(counted, (0, 1))  # [b, t]
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits  # [n, vocabulary]
        losses = torch.nn.functional.cross_entropy(
            logits.float(), labels[:, 1:][counted], reduction="none"
        )  # [n]
        weights = (1 / counted.sum(dim=1))[:, None].expand(counted.shape)[counted]  # [n]
        return (losses * weights).sum()

    @cached_property
    def _head(self) -> nn.Module:
        model: Any = self._model.get_base_model()
        head: nn.Module = model.get_output_embeddings()
        return head

    def _select(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Before the head: [b, t, d] -> [n, d], the states that predict a response token."""
        return (inputs[0][self._predicting], *inputs[1:])


def learning_rate(training: TrainingSettings, step: int, steps: int) -> float:
    """Linear warm-up, then constant or a half cosine down to 0; `step` counts from 0."""
    warm = round(training.warmup * steps)
    if step < warm:
        return training.lr * (step + 1) / warm
    if training.schedule == "constant":
        return training.lr
    return training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

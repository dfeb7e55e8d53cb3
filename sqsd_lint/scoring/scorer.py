"""Project encoded samples on every direction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.attention import causal_attention
from sqsd_lint.scoring.batching import default_budget, pad, plan_batches
from sqsd_lint.scoring.checkpointing import checkpointed
from sqsd_lint.scoring.device_map import placed
from sqsd_lint.scoring.directions import Direction, ExpansionPoint, expansion_points
from sqsd_lint.scoring.layers.lora import Gradient
from sqsd_lint.scoring.linear import device_of
from sqsd_lint.scoring.llama import Llama
from sqsd_lint.scoring.lm_head import LossHead
from sqsd_lint.scoring.memory_estimate import activation_bytes
from sqsd_lint.scoring.patched_linear import expanded
from sqsd_lint.scoring.projections import GradientSum, ProjectionSum, Sink
from sqsd_lint.types import Encoded, Metric, Update

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.scoring.llama import CausalLM

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Projections:
    """What a pass over samples gives.

    Attributes:
        values: [n, K] float64, the projection of each sample's update on each direction.
        loss: [n] float64, mean token cross-entropy over the response at the first direction's
            expansion point, in nats.
        drift: [n, K] float64, how far each update goes along each direction, taken as one vector over all
            layers: as a share of the adapter's own displacement, or in nats (`ProjectionSum.drift`).
        per_module: name -> [n, K] float32 share of each layer, if wanted.
    """

    values: Tensor
    loss: Tensor
    drift: Tensor
    per_module: dict[str, Tensor] = field(default_factory=dict)


class Scorer:
    """Project the update that each sample induces on directions (docs/method.md sections 3 to 5).

    One forward and one input-gradient backward per expansion point and batch; no weight gradient, no
    d_out x d_in matrix.

    Args:
        model: the frozen base (a causal LM of transformers), in the dtype and on the device to use.
        directions: K of them; those that share an expansion point share a pass.
        metric: "cosine", "projection" or "dot".
        batch_tokens: padded tokens per batch; None takes what free memory allows.
        modules: names of the modules to score; None scores all that have a direction.
        update: what a training step moves: "lora", the factors of the expansion adapter; "full", the weights.
        checkpointing: compute activations twice to keep fewer: "on", "off", or "auto", from the first row on
            that does not fit.

    Attributes:
        batch_tokens: the budget in use; halved whenever memory runs out.
        points: the expansion points, one pass each.
        columns: how many directions there are.
    """

    def __init__(
        self,
        model: CausalLM,
        directions: Sequence[Direction],
        *,
        metric: Metric = "cosine",
        batch_tokens: int | None = None,
        modules: Collection[str] | None = None,
        update: Update = "lora",
        checkpointing: str = "auto",
    ) -> None:
        model.requires_grad_(False)
        model.train(False)
        self.model = model
        self._body = model.base_model
        self._head = LossHead(model)
        if not isinstance(model, Llama):  # its head is known
            self._head.check(model, self._body)
        self.metric: Metric = metric
        self.update: Update = update
        self.columns = len(directions)
        self.device, self.dtype = device_of(model), next(model.parameters()).dtype
        self._may_checkpoint = checkpointing == "auto"
        self._checkpointing = checkpointing == "on"
        self.points = expansion_points(
            directions, modules=modules, device=self.device, dtype=self.dtype, update=update
        )
        placed(self.points, model)
        self.batch_tokens = batch_tokens or default_budget(
            self.device, activation_bytes(model, self.points[0].layers, self.device)
        )

    def project(self, rows: Sequence[Encoded], *, keep_modules: bool = False) -> Projections:
        """Score samples, whatever their order, and return them in the order given.

        Raises:
            ValueError: a sample without a response token.
            ModelError: a single row does not fit into memory.
        """
        values = torch.zeros(len(rows), self.columns, dtype=torch.float64)
        loss = torch.zeros(len(rows), dtype=torch.float64)
        drift = torch.zeros(len(rows), self.columns, dtype=torch.float64)
        per_module: dict[str, Tensor] = {}
        for batch, part in self.stream(rows, keep_modules=keep_modules):
            values[batch] = part.values
            loss[batch] = part.loss
            drift[batch] = part.drift
            for name, share in part.per_module.items():
                whole = per_module.setdefault(name, torch.zeros(len(rows), self.columns))
                whole[batch] = share
        return Projections(values, loss, drift, per_module)

    def stream(
        self, rows: Sequence[Encoded], *, keep_modules: bool = False
    ) -> Iterator[tuple[list[int], Projections]]:
        """Yield what `project` returns, batch by batch: (indices into rows, their projections)."""
        yield from self.batches(rows, partial(self._project_batch, keep_modules=keep_modules))

    def batches(
        self, rows: Sequence[Encoded], work: Callable[[Sequence[Encoded]], T]
    ) -> Iterator[tuple[list[int], T]]:
        """Do `work` on all samples in batches that fit into memory: (indices into rows, what it returned).

        Raises:
            ValueError: a sample without a response token.
            ModelError: a single row does not fit into memory.
        """
        for i, row in enumerate(rows):
            if all(label == -100 for label in row.labels[1:]):
                raise ValueError(f"sample {i} has no response token to score")
        for batch in plan_batches(rows, self.batch_tokens):
            yield from self._fitting(rows, batch, work)

    def gradient(self, rows: Sequence[Encoded]) -> Gradient:
        """Return the gradient of the rows' mean log-likelihood at the first direction's expansion point."""
        total = GradientSum()
        for batch in plan_batches(rows, self.batch_tokens):
            ids, labels = pad([rows[i] for i in batch], self.device)
            self.run(ids, labels, self.points[0], total)
        return total.ascent(len(rows))

    def _fitting(
        self, rows: Sequence[Encoded], batch: list[int], work: Callable[[Sequence[Encoded]], T]
    ) -> Iterator[tuple[list[int], T]]:
        """Work on a batch; where memory runs out, halve the budget for the rest of the run and go on."""
        picked = [rows[i] for i in batch]
        done: list[T] = []
        try:
            done.append(work(picked))
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
        if done:
            yield batch, done[0]
            return
        if len(batch) == 1 and self._may_checkpoint and not self._checkpointing:
            self._checkpointing = True
            self._forget()
            yield from self._fitting(rows, batch, work)
            return
        if len(batch) == 1:
            raise ModelError(
                f"a row of {len(picked[0].ids)} tokens does not fit into the memory of {self.device}",
                hint="lower --max-length, choose --dtype bfloat16 or a machine with more memory",
            )
        self._forget()
        self.batch_tokens = max(1, self.batch_tokens // 2)
        for half in plan_batches(picked, self.batch_tokens):
            yield from self._fitting(rows, [batch[i] for i in half], work)

    def _forget(self) -> None:
        """Give back what the allocator holds of a batch that did not fit."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _project_batch(self, rows: Sequence[Encoded], keep_modules: bool) -> Projections:
        ids, labels = pad(rows, self.device)
        values = torch.zeros(len(rows), self.columns, dtype=torch.float64)
        drift = torch.full((len(rows), self.columns), torch.nan, dtype=torch.float64)
        losses: list[Tensor] = []
        per_module: dict[str, Tensor] = {}
        for point in self.points:
            sums = ProjectionSum()
            losses.append(self.run(ids, labels, point, sums))
            terms = sums.terms(self.metric)
            columns = list(point.columns)
            if terms:
                values[:, columns] = torch.stack(tuple(terms.values())).sum(0).cpu().double()
                drift[:, columns] = sums.drift().cpu().double()
            for name, term in terms.items() if keep_modules else ():
                whole = per_module.setdefault(name, torch.zeros(len(rows), self.columns))
                whole[:, columns] = term.cpu()
        return Projections(values, losses[0].cpu().double(), drift, per_module)

    def run(self, ids: Tensor, labels: Tensor, point: ExpansionPoint, sink: Sink) -> Tensor:
        """Run one forward and one input-gradient backward at an expansion point; return the loss, [b]."""
        with torch.enable_grad(), causal_attention(), expanded(self.model, point, sink):
            with checkpointed(self.model, on=self._checkpointing):
                hidden = self._body(input_ids=ids, use_cache=False).last_hidden_state  # [b, t, d]
            labels = labels.to(hidden.device)
            # The state at t predicts the token at t + 1.
            row, at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
            counts = torch.bincount(row, minlength=len(ids))  # [b] int64
            loss, gradient = self._head.loss(
                hidden.detach()[row, at], labels[row, at + 1], counts[row].float().reciprocal()
            )
            full = torch.zeros_like(hidden)
            full[row, at] = gradient
            if hidden.requires_grad:
                # As hidden.backward(full), for which torch imports sympy: half a second.
                (hidden * full).sum().backward()
        return torch.zeros(len(ids), device=hidden.device).index_add_(0, row, loss) / counts


def _is_out_of_memory(error: RuntimeError) -> bool:
    # CPU allocation failures are plain RuntimeErrors.
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)

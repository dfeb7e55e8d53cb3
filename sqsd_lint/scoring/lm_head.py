"""Compute the output head and the loss, for response positions only.

The head is the widest layer of a small model. It is applied to the hidden states that predict a response
token and to no other, in chunks, and each chunk's gradient is formed at once, so that neither the logits
of the prompt nor an autograd graph over the vocabulary ever exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.batching import even_slices
from sqsd_lint.scoring.linear import device_of, weight_of

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.scoring.llama import CausalLM

# Logits of one matrix product: large enough for its full speed, small enough to stay out of memory's way.
CHUNK_LOGITS = 16 * 1024 * 1024
# Logits that a CPU turns into a gradient at a time: 6 MiB in float32, which its caches hold.
_CPU_BLOCK_LOGITS = 1536 * 1024
# Nats; a little above it, at 87.3, a probability in float32 begins to lose its digits.
_UNDERFLOW = 80.0


class LossHead:
    """Cross-entropy over the vocabulary and its gradient at the last hidden state.

    Args:
        model: a causal LM of transformers. Soft-capped (Gemma) and scaled (Granite, Cohere) logits are
            known; `check` finds out whether a model does anything else between hidden state and logits.
    """

    def __init__(self, model: CausalLM) -> None:
        head: nn.Module | None = model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise ModelError(f"{type(model).__name__} has no linear output head")
        self._head = head
        config = model.config.get_text_config()
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale = float(getattr(config, "logit_scale", None) or 1.0)
        self._scale /= float(getattr(config, "logits_scaling", None) or 1.0)

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute logits: [n, d] -> [n, vocabulary] float32, on the head's device."""
        return self._finish(self._head(hidden.to(device_of(self._head))))

    def _finish(self, z: Tensor) -> Tensor:
        """Apply what the model does to the head's output, in float32."""
        z = z.float()
        if self._scale != 1.0:
            z = z * self._scale
        return z if self._softcap is None else self._softcap * torch.tanh(z / self._softcap)

    @torch.no_grad()
    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return token losses and the gradient of their weighted sum.

        Args:
            hidden: [n, d] the states that predict a response token.
            targets: [n] the tokens to predict.
            weights: [n] float32, 1 / (response tokens of the sample): the sum of per-sample means.

        Returns:
            (loss [n] float32 in nats, unweighted; gradient [n, d] in hidden's dtype), on hidden's device.
        """
        # A head that shares its weights with the input embeddings may lie where the first layers do.
        home, device = hidden.device, device_of(self._head)
        hidden, targets, weights = hidden.to(device), targets.to(device), weights.to(device)
        losses = torch.empty(len(targets), dtype=torch.float32, device=device)
        gradient = torch.empty_like(hidden)
        vocabulary = self._head.weight.shape[0]
        chunk = max(64, CHUNK_LOGITS // vocabulary // 8 * 8)
        block = max(8, _CPU_BLOCK_LOGITS // vocabulary // 8 * 8) if device.type == "cpu" else chunk
        for part in even_slices(len(targets), chunk):
            z = self._head(hidden[part])  # [c, vocabulary]
            for rows in even_slices(len(z), block):
                losses[part][rows] = self._to_gradient(z[rows], targets[part][rows], weights[part][rows])
            gradient[part] = z @ weight_of(self._head)
        return losses.to(home), gradient.to(home)

    def _to_gradient(self, z: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the losses, [n]; the gradient of their weighted sum is written over the head's output z."""
        logits, index = self._finish(z), targets[:, None]
        p = logits.softmax(1)  # one pass over the vocabulary fewer than by its logarithm
        losses = -p.gather(1, index).log().squeeze(1)
        rare = losses > _UNDERFLOW
        if rare.any():
            losses[rare] = -logits[rare].log_softmax(1).gather(1, index[rare]).squeeze(1)
        # d loss / d logits = softmax(logits) - onehot(target)
        dz = p.scatter_add_(1, index, torch.full_like(index, -1, dtype=p.dtype))
        dz *= weights[:, None] * self._scale
        if self._softcap is not None:
            dz *= 1 - (logits / self._softcap).square()
        z.copy_(dz)
        return losses

    @torch.no_grad()
    def check(self, model: CausalLM, hidden_states: nn.Module) -> None:
        """Compare with the model's own logits on two tokens.

        Raises:
            ModelError: the model computes its logits in a way that this head does not know.
        """
        ids = torch.tensor([[1, 2]], device=device_of(model))
        ours = self.logits(hidden_states(input_ids=ids, use_cache=False).last_hidden_state[0])
        theirs = model(input_ids=ids, use_cache=False).logits[0].float().to(ours.device)
        if not torch.allclose(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max())):
            raise ModelError(
                f"{type(model).__name__} computes its logits in a way that sqsd-lint does not know",
                hint="please report the model's name",
            )

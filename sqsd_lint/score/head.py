"""The output head and the loss, for response positions only.

The head is the widest layer of a small model. It is applied to the hidden states that predict a response
token and to no other, in chunks, and each chunk's gradient is formed at once, so that neither the logits
of the prompt nor an autograd graph over the vocabulary ever exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# 64 MiB of float32 logits per chunk: large enough for a full GEMM, small enough to stay out of memory's way.
_CHUNK_LOGITS = 16 * 1024 * 1024


class LossHead:
    """Cross-entropy over the vocabulary and its gradient at the last hidden state.

    Args:
        model: a causal LM of transformers. Soft-capped (Gemma) and scaled (Granite, Cohere) logits are
            known; `check` finds out whether a model does anything else between hidden state and logits.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if not isinstance(head, nn.Linear):
            raise ModelError(f"{type(model).__name__} has no linear output head")
        self._head = head
        config = model.config.get_text_config()
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale = float(getattr(config, "logit_scale", None) or 1.0)
        self._scale /= float(getattr(config, "logits_scaling", None) or 1.0)

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, d] -> [n, vocabulary] float32."""
        z = self._head(hidden).float()
        if self._scale != 1.0:
            z *= self._scale
        return z if self._softcap is None else self._softcap * torch.tanh(z / self._softcap)

    @torch.no_grad()
    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Token losses and the gradient of their weighted sum.

        Args:
            hidden: [n, d] the states that predict a response token.
            targets: [n] the tokens to predict.
            weights: [n] float32, 1 / (response tokens of the sample): the sum of per-sample means.

        Returns:
            (loss [n] float32 in nats, unweighted; gradient [n, d] in hidden's dtype).
        """
        losses = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        vocabulary = self._head.weight.shape[0]
        step = max(64, _CHUNK_LOGITS // vocabulary)
        for at in range(0, len(targets), step):
            part = slice(at, at + step)
            target = targets[part, None]
            z = self.logits(hidden[part])  # [c, vocabulary]
            log_sum = torch.logsumexp(z, dim=1, keepdim=True)
            losses[part] = (log_sum - z.gather(1, target)).squeeze(1)
            # d loss / d z = softmax(z) - onehot(target), written over z's own memory where it may be
            slope = 1 - (z / self._softcap).square() if self._softcap is not None else None
            dz = z.sub_(log_sum).exp_()
            dz.scatter_add_(1, target, torch.full_like(target, -1, dtype=dz.dtype))
            dz *= weights[part, None] * self._scale
            if slope is not None:
                dz *= slope
            gradient[part] = dz.to(hidden.dtype) @ self._head.weight
        return losses, gradient

    @torch.no_grad()
    def check(self, model: PreTrainedModel, hidden_states: nn.Module) -> None:
        """Compare with the model's own logits on two tokens.

        Raises:
            ModelError: the model computes its logits in a way that this head does not know.
        """
        ids = torch.tensor([[1, 2]], device=self._head.weight.device)
        ours = self.logits(hidden_states(input_ids=ids, use_cache=False).last_hidden_state[0])
        theirs = model(input_ids=ids, use_cache=False).logits[0].float()
        if not torch.allclose(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max())):
            raise ModelError(
                f"{type(model).__name__} computes its logits in a way that sqsd-lint does not know",
                hint="please report the model's name",
            )

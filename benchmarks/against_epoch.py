"""One expansion point against one LoRA training epoch (forward, backward, no optimizer).

Same rows, batches, dtype and process. The epoch is what a user's trainer does for these rows anyway, so a
ratio of 1.0 reads: linting the data costs as much as training on it once.
"""

from __future__ import annotations

import common
import torch

from sqsd_lint.scoring.batching import pad, plan_batches
from sqsd_lint.types import Encoded


class Epoch:
    """Plain PEFT training without the optimizer: gradients of the factors, the mean loss over the batch."""

    def __init__(self, engine: object, model: torch.nn.Module, budget: int) -> None:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model = get_peft_model(model, config, autocast_adapter_dtype=False)
        self.budget = budget

    def run(self, rows: list[Encoded], device: torch.device) -> None:
        for batch in plan_batches(rows, self.budget):
            ids, labels = pad([rows[i] for i in batch], device)
            self.model(input_ids=ids, labels=labels).loss.backward()
            self.model.zero_grad()


def main() -> None:
    args = common.parser(__doc__, rows=64).parse_args()
    ours = common.engine(args, expansion="shared")
    encoder, scorer = ours.parts()
    rows = [encoder.encode(s) for s in common.real_samples(args.data, args.rows)]
    scorer.project(rows[:4])
    lint = common.timed(lambda: scorer.project(rows))
    epoch = Epoch(ours, ours.base()[0], scorer.batch_tokens)
    epoch.run(rows[:4], torch.device(ours.device))
    train = common.timed(lambda: epoch.run(rows, torch.device(ours.device)))
    print(f"machine     {common.machine()}")
    print(
        f"rows        {len(rows)} ({common.tokens(rows)} tokens), {ours.dtype}, {scorer.batch_tokens} a batch"
    )
    print(f"epoch       {train:7.1f} s")
    print(f"sqsd-lint   {lint:7.1f} s  (one expansion point, two directions)")
    print(f"ratio       {lint / train:.2f}x of an epoch")


if __name__ == "__main__":
    main()

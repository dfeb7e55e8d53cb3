"""sqsd-lint against the algorithm that the authors released, on the same rows in the same process.

The reference, written from docs/method.md sections 3, 4 and 6 (faithful in what costs time): batch size 1,
the whole model run under PEFT with trainable factors, the head on every position, and for every layer and
row two d_out x d_in matrices whose cosine is taken, once per direction.

    python benchmarks/against_reference.py                      equal dtype and expansion points
    python benchmarks/against_reference.py --as-shipped         the default bundle against float32
"""

from __future__ import annotations

import random

import common
import torch
from scipy.stats import spearmanr

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.base_model import resolve_model
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.scoring.model import load_model
from sqsd_lint.types import Encoded


class Reference:
    """Scores one row after another with full matrices."""

    def __init__(self, bundle: Bundle, expansion: str, dtype: torch.dtype, device: torch.device) -> None:
        self.bundle, self.expansion, self.dtype, self.device = bundle, expansion, dtype, device

    def score(self, rows: list[Encoded]) -> torch.Tensor:
        danger = self._projections(rows, "danger")
        return danger - self._projections(rows, "safety")

    def _projections(self, rows: list[Encoded], name: str) -> torch.Tensor:
        from peft import PeftModel

        m = self.bundle.manifest
        spec = m.directions[name]
        shared = self.expansion == "shared"
        base = load_adapter(self.bundle.adapter_dir("base")) if m.base_adapter else None
        bare = load_model(
            resolve_model(m.base_model.id), device=self.device, dtype=self.dtype, base_adapter=base
        )
        at = self.bundle.adapter_dir("initial" if shared else spec.expansion)
        model = PeftModel.from_pretrained(bare, str(at), is_trainable=True, autocast_adapter_dtype=False)
        layers = {
            n.removeprefix("base_model.model."): layer
            for n, layer in model.named_modules()
            if hasattr(layer, "lora_A") and "default" in layer.lora_A
        }
        if spec.scaling is not None and not shared:
            for layer in layers.values():
                layer.scaling["default"] = spec.scaling
        vectors = load_adapter(self.bundle.adapter_dir(spec.adapter)).factors
        out = []
        for row in rows:
            model.zero_grad()
            ids = torch.tensor([row.ids], device=self.device)
            labels = torch.tensor([row.labels], device=self.device)
            model(input_ids=ids, labels=labels).loss.backward()
            total = 0.0
            for module, layer in layers.items():
                if module not in vectors:
                    continue
                a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
                update = -(b.grad @ a + b @ a.grad).float()
                v = vectors[module]
                vector = (v.B @ v.A).to(self.device)
                total += torch.nn.functional.cosine_similarity(
                    update.flatten(), vector.flatten(), dim=0
                ).item()
            out.append(total)
        return torch.tensor(out)


def main() -> None:
    p = common.parser(__doc__, rows=40)
    p.add_argument(
        "--as-shipped", action="store_true", help="default settings against the reference in float32"
    )
    args = p.parse_args()
    ours = common.engine(args) if args.as_shipped else common.engine(args, expansion="paper")
    encoder, scorer = ours.parts()
    rows = [encoder.encode(s) for s in common.real_samples(args.data, args.rows)]
    expansion = "paper"
    dtype = torch.float32 if args.as_shipped or ours.dtype == "float32" else torch.bfloat16
    scorer.project(rows[:4])
    common.reset_peak()
    fast: list[torch.Tensor] = []
    seconds = common.timed(lambda: fast.append(scorer.project(rows).values))
    memory = common.peak_gib()
    reference = Reference(ours.bundle, expansion, dtype, torch.device(ours.device))
    warm = random.Random(0).sample(rows, 2)
    begun = common.timed(lambda: reference.score(warm))  # loading, and the first calls' allocations
    common.reset_peak()
    slow: list[torch.Tensor] = []
    reference_seconds = common.timed(lambda: slow.append(reference.score(rows)))
    load = max(0.0, begun - reference_seconds * len(warm) / len(rows))
    reference_seconds -= load  # both are timed without loading the model
    reference_memory = common.peak_gib()
    sqsd = fast[0][:, 0] - fast[0][:, 1]
    print(f"machine     {common.machine()}")
    print(f"rows        {len(rows)} ({common.tokens(rows)} tokens)")
    print(f"reference   {reference_seconds:7.1f} s  {reference_memory:5.2f} GiB peak  {dtype}  paper")
    print(f"sqsd-lint   {seconds:7.1f} s  {memory:5.2f} GiB peak  {ours.dtype}  {ours.expansion}")
    print(f"speed-up    {reference_seconds / seconds:.2f}x")
    gap = (sqsd - slow[0]).abs()
    print(f"scores      max |difference| {gap.max():.2e}, Spearman {spearmanr(sqsd, slow[0])[0]:.4f}")


if __name__ == "__main__":
    main()

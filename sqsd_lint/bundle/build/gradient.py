"""Computing one margin gradient: no training, one pass over the answers at the initial state."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sqsd_lint.bundle.build.train import encode_all
from sqsd_lint.bundle.manifest import CONFIG, WEIGHTS
from sqsd_lint.types import Sample

if TYPE_CHECKING:
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

    from sqsd_lint.score import Direction, Scorer, load_adapter

    at = load_adapter(initial, model)
    scorer = Scorer(model, [Direction(output.name, at, at)])
    rows = encode_all(samples, tokenizer, max_length)
    gradient = scorer.gradient(rows)
    save_file(gradient.tensors(getattr(torch, dtype)), output / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(initial / CONFIG, output / CONFIG)
    return float(scorer.project(rows).loss.mean())

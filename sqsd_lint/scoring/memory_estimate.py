"""Estimate memory and arithmetic of scoring a batch without a weight: by a dry run on fake tensors.

The model is built from its configuration alone, with tensors that have a shape, a dtype and a device but no
data, and the scorer's own forward and backward pass runs over them. Every storage that comes and goes is
counted, and every product. So the estimate follows the code, whatever the architecture, and is the one model
of memory that there is: `doctor` reports it and the scorer's automatic batch size rests on it.

Layers are alike, so a deep model is run with few of them at two depths and continued.

How much memory the scorer takes for a token, for its automatic batch size.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.attention import causal_attention
from sqsd_lint.scoring.batching import free_bytes, most_tokens
from sqsd_lint.scoring.checkpointing import block_list
from sqsd_lint.scoring.directions import ExpansionPoint
from sqsd_lint.scoring.layers.lora import LoraLayer
from sqsd_lint.scoring.llama import Llama
from sqsd_lint.scoring.lm_head import CHUNK_LOGITS
from sqsd_lint.scoring.patched_linear import expanded
from sqsd_lint.scoring.projections import ProjectionSum

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from sqsd_lint.scoring.llama import CausalLM, LlamaShape


# What the process holds for a byte of live tensors. A CPU's allocator keeps holes between blocks that come
# and go (1.1 to 1.5 on five architectures of 5 to 40 million parameters, most where a model is deep and
# narrow); CUDA's caching allocator rounds blocks up.
HEADROOM = {True: 1.3, False: 1.1}
# What the first pass brings with it on a CPU, whatever its size: code, and scratch space of the products.
RUNTIME = {True: 100_000_000, False: 0}
# Tokens of the row that stands for others where bytes per token are asked for.
_SAMPLE = 512


def activation_bytes(model: CausalLM, layers: Mapping[str, Any], device: torch.device) -> int:
    """Return activations per token that a pass takes, in bytes.

    A dry run costs seconds, so it is held only where a generous guess does not fit anyway.

    Args:
        layers: of an expansion point, by module name.
    """
    dtype = next(model.parameters()).dtype
    guess = _guess(model.config, dtype.itemsize)
    if guess * most_tokens(device) <= free_bytes(device) // 2:
        return guess

    shapes = {n: (x.B0T.shape[1], x.A0.shape[0], x.A0.shape[1]) for n, x in layers.items()}
    try:
        config = model.config.for_transformers() if isinstance(model, Llama) else model.config
        dry_run = DryRun(config, dtype=dtype, device=device)
        taken = dry_run.run(shapes, columns=2, rows=1, tokens=_SAMPLE).peak
    except (RuntimeError, ValueError):  # it decides by values what it computes, or is not transformers' own
        return guess
    return round(taken * HEADROOM[device.type == "cpu"] / _SAMPLE)


def _guess(config: PretrainedConfig | LlamaShape, width: int) -> int:
    """Estimate the activations per token generously, in bytes."""
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    wide = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    routed = int(getattr(text, "num_experts_per_tok", None) or 1)
    return int(text.num_hidden_layers) * (24 * hidden + 8 * wide * routed) * width


Shapes = Mapping[str, tuple[int, int, int]]
"""By module name, (d_out, r, d_in) of an adapter's factors."""

# What bitsandbytes keeps for a weight: its code and, of 64 weights in 4 bits, a scale in float32.
PACKED_BITS = {"4bit": 4.5, "8bit": 8.0}
# Depths of dry runs. Six is a multiple of the periods in which architectures alternate kinds of layers.
_SHALLOW, _DEEP = 6, 12


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward pass over a batch at one expansion point.

    Attributes:
        peak: most bytes that were alive at once, beyond the weights and the adapters.
        flops: floating-point operations, a product and its sum as two.
    """

    peak: int
    flops: float


class DryRun:
    """A model without weights that runs a pass and measures what it takes.

    Args:
        config: of a causal LM of transformers.
        dtype: what the model would be loaded in.
        device: where it would run.
        trust_remote_code: as `load_model`.

    Attributes:
        model: the model, of fake tensors.
    """

    def __init__(
        self,
        config: PretrainedConfig,
        *,
        dtype: torch.dtype,
        device: torch.device,
        trust_remote_code: bool = False,
    ) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.initialization import no_init_weights

        self._mode = FakeTensorMode()
        self._device = device
        with self._mode, torch.device(device), no_init_weights():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, dtype=dtype, trust_remote_code=trust_remote_code
            )
            model.tie_weights()
        model.requires_grad_(False)
        model.train(False)
        self.model = model
        self._dtype = dtype

    @property
    def layers(self) -> int:
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def parameters(self) -> int:
        """Return how many parameters there are, shared ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def run(
        self, shapes: Shapes, *, columns: int, rows: int, tokens: int, checkpointing: bool = False
    ) -> Pass:
        """Run through a pass over `rows` rows of `tokens` tokens, all of them response.

        Args:
            shapes: of the expansion point's factors.
            columns: directions that are projected at it.
            checkpointing: blocks keep their inputs alone, and run forward twice.

        Raises:
            RuntimeError: the architecture decides by values what it computes (a router of experts may).
        """

        def at(depth: int) -> Pass:
            return self._at_depth(depth, shapes, columns, rows, tokens)

        deep = self.layers
        if checkpointing:
            config = self.model.config.get_text_config()
            kept = deep * rows * tokens * int(config.hidden_size) * self._dtype.itemsize
            one, two = at(1), at(2)
            return Pass(kept + one.peak, (one.flops + (deep - 1) * (two.flops - one.flops)) * 4 / 3)
        if deep <= _DEEP:
            return at(deep)
        low, high = at(_SHALLOW), at(_DEEP)
        more = (deep - _DEEP) / (_DEEP - _SHALLOW)
        return Pass(
            round(high.peak + more * (high.peak - low.peak)), high.flops + more * (high.flops - low.flops)
        )

    def _at_depth(self, depth: int, shapes: Shapes, columns: int, rows: int, tokens: int) -> Pass:
        live, flops = _LiveBytes(), FlopCounterMode(display=False)
        with self._mode, _first_layers(self.model, depth), _predictable_experts():
            point = self._point(shapes, columns)
            ids = torch.zeros(rows, tokens, dtype=torch.long, device=self._device)
            live.ignore(*self.model.parameters(), *self.model.buffers(), ids)
            for layer in point.layers.values():
                live.ignore(*(each for each in _tensors(layer)))
            sums = ProjectionSum()
            with live, flops, torch.enable_grad(), causal_attention(), expanded(self.model, point, sums):
                hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                left_out = self._head(hidden.detach().flatten(0, 1))
                full = torch.zeros_like(hidden)
                if hidden.requires_grad:
                    hidden.backward(full)
        return Pass(live.peak, float(flops.get_total_flops()) + left_out)

    def _head(self, states: Tensor) -> float:
        """Count what `LossHead.loss` holds for a chunk of the states [n, d]; return the rest's operations."""
        head = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        vocabulary, hidden = map(int, head.weight.shape)
        chunk = min(len(states), max(64, CHUNK_LOGITS // vocabulary))
        gradient = torch.zeros_like(states)
        z = head(states[:chunk])
        logits = z.float() if self._device.type != "cpu" else z[: max(8, chunk // 8)].float()
        log_p = logits.log_softmax(1)
        gradient[:chunk] = z @ head.weight
        del z, logits, log_p, gradient
        return 4.0 * (len(states) - chunk) * hidden * vocabulary

    def _point(self, shapes: Shapes, columns: int) -> ExpansionPoint:
        there = dict(self.model.named_modules())
        layers = {name: self._layer(*shape, columns) for name, shape in shapes.items() if name in there}
        return ExpansionPoint(layers, tuple(range(columns)))

    def _layer(self, d_out: int, rank: int, d_in: int, columns: int) -> LoraLayer:
        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=self._device)

        return LoraLayer(
            A0=zeros(rank, d_in, dtype=self._dtype),
            B0T=zeros(rank, d_out, dtype=self._dtype),
            scaling=1.0,
            P=zeros(columns, rank * d_out),
            Q=zeros(columns, rank * d_in),
            gram_A=zeros(rank, rank),
            gram_B=zeros(rank, rank),
            norms=zeros(columns),
            vector_scaling=zeros(columns),
        )


def make_dry_run(
    folder: Path, *, dtype: torch.dtype, device: torch.device, trust_remote_code: bool = False
) -> DryRun:
    """Return a dry run of the model whose config.json lies in `folder`.

    Raises:
        ModelError: transformers makes no causal LM of it.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
        return DryRun(config, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    except Exception as error:  # of any kind: a configuration is anybody's file
        raise ModelError(
            f"{folder}: no causal language model can be made of its config.json: {error}",
            hint="give a folder with config.json, as save_pretrained() writes it",
        ) from error


def weight_bytes(model: PreTrainedModel, quantize: str | None) -> int:
    """Return a model's weights in bytes; `quantize` packs its linear layers ("4bit", "8bit")."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    packed = {
        id(module.weight): PACKED_BITS[quantize]
        for module in model.modules()
        if quantize and type(module) is torch.nn.Linear and module is not head
    }
    bits = sum(p.numel() * packed.get(id(p), 8 * p.itemsize) for p in model.parameters())
    return round(bits / 8)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of every storage that an operator makes, until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._sizes: dict[int, int] = {}

    def ignore(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self._sizes[tensor.untyped_storage()._cdata] = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor):
                self._see(each)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self._live += storage.nbytes()
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self._live -= self._sizes.pop(key)


def _tensors(layer: Any) -> Iterator[Tensor]:
    for name in ("A0", "B0T", "P", "Q", "gram_A", "gram_B", "norms", "vector_scaling"):
        yield getattr(layer, name)


@contextmanager
def _first_layers(model: PreTrainedModel, depth: int) -> Iterator[None]:
    """Cut the model down to its first `depth` blocks, inside the block."""
    parent, name = block_list(model)
    blocks = getattr(parent, name)
    setattr(parent, name, blocks[:depth])
    try:
        yield
    finally:
        setattr(parent, name, blocks)


@contextmanager
def _predictable_experts() -> Iterator[None]:
    """Replace, inside the block, what in transformers needs values or dtypes that fake tensors lack."""
    from torch.nn import functional
    from transformers import masking_utils

    known = masking_utils.find_packed_sequence_indices, getattr(functional, "grouped_mm", None)
    # Whether positions start anew within a row.
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    if known[1] is not None:
        functional.grouped_mm = _one_expert  # type: ignore[assignment]
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = known[0]
        if known[1] is not None:
            functional.grouped_mm = known[1]


def _one_expert(tokens: Tensor, weight: Tensor, **_: Any) -> Tensor:
    """Compute a mixture's product as if the router sent every token to one expert: of the same size and cost.

    On fake tensors torch knows the grouped product in bfloat16 alone.
    """
    return tokens @ weight[0]

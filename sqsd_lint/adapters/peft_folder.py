"""PEFT adapter folders, judged by their configuration and safetensors headers: no weights, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.common.json_io import read_json
from sqsd_lint.common.model_folder import weight_files
from sqsd_lint.common.safetensors_header import read_header
from sqsd_lint.errors import AdapterError

_EXPERTS = re.compile(r"\.experts(?:\.base_layer)*\Z")
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])(?:\.\w+)?\.weight\Z")
# Initialisations that take s B0 A0 out of the base weights: what the training moved is s (B A - B0 A0).
STARTS = ("pissa", "olora", "corda", "lora_ga")
# Variants whose forward pass is more than W x + s B A x, or that train something else besides.
_VARIANTS = (
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What a LoRA folder holds.

    Attributes:
        config: adapter_config.json.
        shapes: per module of the bare model, (d_out, r, d_in).
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, int, int]]


def weights_of(folder: Path) -> Path:
    """The file that holds an adapter's tensors.

    Raises:
        AdapterError: there is none.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise AdapterError(
            f"{folder}: {WEIGHTS} is missing",
            hint="save the adapter with save_pretrained(); pickled adapter_model.bin files are never loaded",
        )
    return path


def inspect_adapter(folder: Path) -> AdapterInfo:
    """Read the configuration and tensor shapes of a PEFT folder.

    Raises:
        AdapterError: a file is missing or damaged, the adapter is no plain LoRA, a module lacks a factor,
            or its rank is not the configured one.
    """
    config = read_config(folder)
    _refuse_variants(config, folder / CONFIG)
    path = weights_of(folder)
    try:
        header = read_header(path)
    except (OSError, ValueError) as error:
        pointer = is_pointer(path)
        raise AdapterError(
            f"{path}: {'a Git LFS pointer, not the weights' if pointer else error}",
            hint="fetch the weights: `git lfs pull`" if pointer else None,
        ) from error
    factors: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, info in header.items():
        match = _KEY.match(name)
        if not match:
            raise AdapterError(
                f"{path}: {name!r} is no LoRA factor of a linear layer",
                hint="train on linear layers only, without modules_to_save",
            )
        # PEFT may adapt a mixture's fused experts as well: parameters, and no linear layers.
        if not _EXPERTS.search(match["module"]):
            factors.setdefault(match["module"], {})[match["factor"]] = info.shape
    if not factors:
        raise AdapterError(f"{path}: holds no LoRA factors")
    return AdapterInfo(config, {m: _shape(path, m, pair, config) for m, pair in sorted(factors.items())})


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a LoRA adapter, of whatever variant.

    Raises:
        AdapterError: it cannot be read, or is that of another method.
    """
    path = folder / CONFIG
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{path}: not a readable PEFT configuration: {error}",
            hint="give the folder that PEFT's save_pretrained() wrote",
        ) from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or kind != "LORA":
        raise AdapterError(f"{path}: peft_type is {kind!r}, expected 'LORA'", hint="train a LoRA adapter")
    return config


def start_of(config: Mapping[str, Any]) -> str | None:
    """The initialisation that changed the base weights ("pissa", "pissa_niter_4"); None for any other."""
    init = config.get("init_lora_weights")
    return init if isinstance(init, str) and init.startswith(STARTS) else None


def is_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves in place of one."""
    try:
        with path.open("rb") as file:
            return file.read(24) == b"version https://git-lfs."
    except OSError:
        return False


def _refuse_variants(config: Mapping[str, Any], path: Path) -> None:
    unsupported = {
        "use_dora": config.get("use_dora"),
        "bias": config.get("lora_bias") or config.get("bias", "none") != "none",
        "init_lora_weights": start_of(config) or config.get("init_lora_weights") == "loftq",
        **{key: config.get(key) for key in _VARIANTS},
    }
    named = [key for key, set_ in unsupported.items() if set_]
    if named:
        raise AdapterError(
            f"{path}: {', '.join(named)} is set, and the update is then more than B @ A",
            hint="train a LoRA adapter (rsLoRA, DoRA, PiSSA, OLoRA, rank and alpha patterns can be imported)",
        )


def _shape(
    path: Path, module: str, pair: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> tuple[int, int, int]:
    if set(pair) != {"A", "B"}:
        raise AdapterError(f"{path}: {module} has only lora_{next(iter(pair))}, expected lora_A and lora_B")
    a, b = pair["A"], pair["B"]
    if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
        raise AdapterError(f"{path}: {module} has lora_A {a} and lora_B {b}, expected (r, in) and (out, r)")
    rank = _rank(config, module)
    if a[0] != rank:
        raise AdapterError(
            f"{path}: {module} has rank {a[0]}, but {CONFIG} says {rank}",
            hint="the two files come from different adapters",
        )
    return b[0], a[0], a[1]


def _rank(config: Mapping[str, Any], module: str) -> Any:
    """The configured rank of a module, with PEFT's rule: a pattern matches a module name's whole end."""
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return rank
    return config.get("r", 8)


def check_fits(info: AdapterInfo, adapter: Path, model: Path) -> None:
    """Compare an adapter's modules with the weights of a base model, by headers alone.

    Raises:
        AdapterError: a module is not in the base model, or has another shape there.
    """
    weights = {
        name.removesuffix(".weight"): tensor.shape
        for path in weight_files(model)
        for name, tensor in read_header(path).items()
        if name.endswith(".weight")
    }
    for module, (d_out, _, d_in) in info.shapes.items():
        shape = _find(weights, module)
        hint = f"the adapter belongs to another base model: {info.config.get('base_model_name_or_path')!r}"
        if shape is None:
            raise AdapterError(f"{adapter}: the model in {model} has no layer {module!r}", hint=hint)
        # GPT-2's Conv1D keeps its weight as (in, out), and PEFT says so.
        wanted = (d_in, d_out) if info.config.get("fan_in_fan_out") else (d_out, d_in)
        if shape != wanted:
            raise AdapterError(
                f"{adapter}: {module} is {wanted[0]} x {wanted[1]}, but {shape} in the model in {model}",
                hint=hint,
            )


def _find(weights: Mapping[str, tuple[int, ...]], module: str) -> tuple[int, ...] | None:
    """The shape of a module's weight; a checkpoint may leave out or add leading parts of the name."""
    if module in weights:
        return weights[module]
    ends = [shape for name, shape in weights.items() if _ends(module, name) or _ends(name, module)]
    return ends[0] if len(ends) == 1 else None


def _ends(longer: str, shorter: str) -> bool:
    return longer.endswith("." + shorter)


WEIGHTS = "adapter_model.safetensors"


CONFIG = "adapter_config.json"

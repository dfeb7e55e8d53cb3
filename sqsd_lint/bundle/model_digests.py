"""Digests of a model's weights, tokenizer and chat template. No torch.

All digests are of content, not of files: a model saved again in other shards, or a tokenizer file that
another library version wrote, keeps its digest as long as it computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.common.json_io import (
    digest,
    read_json,
    read_small_json,
    sha256_file,
    sha256_text,
    write_small_json,
)
from sqsd_lint.common.model_folder import weight_files
from sqsd_lint.common.safetensors_header import content_lines
from sqsd_lint.errors import ModelError, ModelNotFoundError

_SLOW_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt")


def weights_digest(folder: Path, *, cache_dir: Path | None = None) -> str:
    """Return the SHA-256 over one line per tensor (name, dtype, shape, SHA-256 of its bytes), sorted.

    Reading all weights takes a second per gigabyte, so the result is remembered in `digests.json` of the
    cache for as long as names, sizes and times of the files stay the same.

    Raises:
        ModelError: a file is missing or is no safetensors file.
    """
    files = weight_files(folder)

    def compute() -> str:
        lines: list[str] = []
        for path in files:
            try:
                lines += content_lines(path)
            except (OSError, ValueError) as error:
                raise ModelError(f"{path}: {error}", hint="fetch the model again") from error
        return sha256_text("\n".join(sorted(lines)))

    return _remembered("weights", folder, files, compute, cache_dir)


def tokenizer_digest(folder: Path, *, cache_dir: Path | None = None) -> str:
    """Return the SHA-256 of what decides token ids: vocabulary, merges, normaliser, added tokens and so on.

    Post-processing, padding and truncation are left out: text is encoded without special tokens, in full.

    Raises:
        ModelNotFoundError: the folder holds no tokenizer.
    """
    fast = folder / "tokenizer.json"
    files = [fast] if fast.is_file() else [folder / n for n in _SLOW_TOKENIZERS if (folder / n).is_file()]
    if not files:
        raise ModelNotFoundError(
            f"{folder}: no tokenizer files", hint="save the tokenizer beside the model (tokenizer.json)"
        )

    def compute() -> str:
        if files != [fast]:
            return digest({path.name: sha256_file(path) for path in files})
        try:
            return digest(_token_rules(read_json(fast, limit=1 << 30)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{fast}: not a tokenizer file: {error}") from error

    return _remembered("tokenizer", folder, files, compute, cache_dir)


def _token_rules(raw: dict[str, Any]) -> dict[str, Any]:
    model = dict(raw["model"])
    # Older files write a merge as "a b", newer ones as ["a", "b"].
    model["merges"] = [m.split(" ") if isinstance(m, str) else m for m in model.get("merges") or []]
    added = sorted((t["id"], t["content"]) for t in raw.get("added_tokens") or [])
    kept = {key: model.get(key) for key in ("type", "vocab", "merges", "unk_token", "byte_fallback")}
    return {
        "model": kept,
        "added": added,
        "normalizer": raw.get("normalizer"),
        "pre_tokenizer": raw.get("pre_tokenizer"),
    }


def template_digest(folder: Path) -> str:
    """Return the SHA-256 of the default chat template's text; of the empty text where there is none."""
    return sha256_text(_template(folder))


def _template(folder: Path) -> str:
    path = folder / "chat_template.jinja"
    try:
        if path.is_file():
            return path.read_text("utf-8")
        path = folder / "tokenizer_config.json"
        template = read_json(path).get("chat_template") if path.is_file() else None
        if isinstance(template, list):
            template = next((t["template"] for t in template if t.get("name") == "default"), None)
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no chat template can be read from it: {error}") from error
    return template if isinstance(template, str) else ""


def _remembered(
    kind: str, folder: Path, files: list[Path], compute: Callable[[], str], cache_dir: Path | None
) -> str:
    """Return `compute()`, or what it gave the last time that these files had these sizes and times."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    stamp = digest(stats)
    key = f"{kind}:{folder.resolve()}"
    store = cache_root(cache_dir) / "digests.json"
    known = read_small_json(store)
    entry = known.get(key)
    if isinstance(entry, list) and len(entry) == 2 and entry[0] == stamp and isinstance(entry[1], str):
        return entry[1]
    value = compute()
    write_small_json(store, {**read_small_json(store), key: [stamp, value]})
    return value

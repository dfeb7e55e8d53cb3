"""What a walk passes by without being told: folders of tools, JSON files known to be no data, and quarantine.

The rule is by name alone, so that everybody can foresee it: content never decides whether a file is read, and
a CSV or JSON file of an unknown name is read and reported. A file that the user names is always read. Since
rows may hide behind any name, what is passed by is counted in a note (`discover.not_read`).

The data files that sqsd-lint knows, by suffix.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

LINES = (".jsonl", ".jsonlines", ".ndjson", ".jl")
TEXT = (*LINES, ".json", ".csv", ".tsv")
BINARY = (".parquet", ".pq", ".arrow", ".feather")
COMPRESSIONS = (".gz", ".zst", ".xz", ".bz2")
ARCHIVE = ".zip"

SUFFIXES: tuple[str, ...] = (
    *TEXT,
    *(text + packed for text in TEXT for packed in COMPRESSIONS),
    *BINARY,
    ARCHIVE,
)
"""Every accepted suffix, lower case: ".jsonl", ".jsonl.gz", ".parquet", ".zip" and so on."""

NOT_READ = (
    *(".txt", ".text", ".xls", ".xlsx", ".ods", ".yaml", ".yml", ".xml"),
    *(".tar", ".tgz", ".gz", ".zst", ".xz", ".bz2", ".lz4", ".lzma", ".br", ".7z", ".rar", ".zip"),
    *(".pkl", ".pickle", ".pt", ".npy", ".npz", ".msgpack", ".avro", ".orc", ".tfrecord", ".sqlite", ".db"),
)
"""Suffixes of files that may hold rows of training data, and that nothing here reads."""


def suffix_of(path: str) -> str:
    """Return the accepted suffix that `path` ends in, whatever its case; "" when it has none."""
    name = os.path.basename(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def base_suffix(path: str) -> str:
    """Return the suffix of the format alone, ".jsonl" of "a.jsonl.gz"; "" when there is no accepted one."""
    suffix = suffix_of(path)
    return suffix.removesuffix(compression_of(path)) if suffix else ""


def compression_of(path: str) -> str:
    """Return the suffix of the compression, ".gz" of "a.jsonl.gz"; "" when the name has none."""
    suffix = suffix_of(path)
    return next((end for end in COMPRESSIONS if suffix.endswith(end)), "")


_FOLDERS = frozenset(
    (
        *(".git", ".hg", ".svn", ".jj", ".bzr"),
        *(".venv", ".tox", ".nox", ".eggs", "__pycache__", "__pypackages__", "site-packages", "node_modules"),
        *(".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"),
        *(".idea", ".vscode", ".vs", ".github", ".terraform", ".dvc"),
    )
)
QUARANTINE_MARK = ".quarantine"
"""What stands before the suffix of a file of rows that `--fix` has taken out: train.quarantine.jsonl.gz."""

_NOT_DATA = (
    ".*.json",
    *("package.json", "package-lock.json", "composer.json", "manifest.json", "settings.json"),
    *("config.json", "*.config.json", "*_config.json", "*-config.json", "tsconfig*.json", "jsconfig*.json"),
    *("*.schema.json", "*.index.json", "bundle.json", "*.sarif.json"),
    # transformers, PEFT and tokenizers
    *("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json", "chat_template.json"),
    *("trainer_state.json", "all_results.json", "train_results.json", "eval_results.json"),
    # what `datasets` writes beside the data
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"),
)

CONTROL = (
    *(".git", ".gitignore", ".gitattributes", ".gitmodules", ".gitkeep", ".editorconfig"),
    *(".sqsdlintignore", ".sqsd-lint-baseline.json", ".sqsd-lint-suppressions.toml"),
)
"""What git and sqsd-lint read themselves."""

# Programs, documents, pictures and weights: no trainer takes rows from a file of such a name unless told how.
_NO_ROWS = (
    *(
        ".py",
        ".pyi",
        ".pyc",
        ".ipynb",
        ".c",
        ".h",
        ".cc",
        ".cpp",
        ".hpp",
        ".cu",
        ".rs",
        ".go",
        ".java",
        ".jar",
    ),
    *(".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".css", ".scss", ".html", ".htm", ".vue", ".map"),
    *(".sh", ".bash", ".zsh", ".ps1", ".bat", ".mk", ".cmake", ".r", ".rb", ".lua", ".pl", ".sql", ".nix"),
    *(".md", ".rst", ".tex", ".bib", ".pdf", ".docx", ".pptx", ".toml", ".cfg", ".ini", ".lock", ".log"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".ttf", ".woff", ".woff2"),
    *(".safetensors", ".gguf", ".so", ".dll", ".dylib", ".exe", ".o", ".a", ".whl"),
    *("license", "notice", "authors", "makefile", "dockerfile", "codeowners", "cname", "py.typed"),
    *CONTROL,
)


def is_tool_folder(name: str) -> bool:
    """Whether a folder of this name holds no training data: version control, environments, caches."""
    return name in _FOLDERS


def is_not_data(name: str) -> bool:
    """Whether a file of this name is configuration, metadata or quarantine, for all its suffix of data."""
    lower = name.lower()
    if is_quarantine(lower):
        return True
    return lower.endswith(".json") and any(fnmatchcase(lower, pattern) for pattern in _NOT_DATA)


def is_quarantine(name: str) -> bool:
    """Whether a file of this name holds rows that have been judged and taken out."""
    suffix = suffix_of(name)
    return bool(suffix) and name[: -len(suffix)].lower().endswith(QUARANTINE_MARK)


def may_hold_rows(name: str) -> bool:
    """Whether a file whose format is not read may hold rows of training data all the same."""
    return not name.lower().endswith(_NO_ROWS)


def looks_like_rows(name: str) -> bool:
    """Whether a file in a folder of a tool has the name of data, or of data in a format that is not read."""
    lower = name.lower()
    if suffix_of(lower):
        return not is_not_data(lower) or is_quarantine(lower)
    return lower.endswith(NOT_READ) and not lower.endswith((".yaml", ".yml", ".xml"))

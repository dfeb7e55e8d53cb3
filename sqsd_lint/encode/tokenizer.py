"""Loading a tokenizer from a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer that lies beside a model.

    Raises:
        ModelError: the folder holds no tokenizer that transformers can load.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:
        raise ModelError(
            f"{folder}: no tokenizer could be loaded from it: {error}",
            hint="save the tokenizer beside the model (tokenizer.json, tokenizer_config.json)",
        ) from error
    return tokenizer

"""Sample -> token ids and labels: chat template, character offsets, truncation (docs/method.md section 3)."""

from sqsd_lint.encode.encoder import Encoder, UnencodableError
from sqsd_lint.encode.template import load_tokenizer

__all__ = ["Encoder", "UnencodableError", "load_tokenizer"]

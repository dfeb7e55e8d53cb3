"""The identity of training content: what a cache, a baseline and a suppression key on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqsd_lint.types import Message

# Part of every hash: change it whenever the canonical form changes, or old keys would name other content.
_VERSION = b"sqsd-lint/fp/1"
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def fingerprint(
    messages: Sequence[Message], mask: Sequence[bool], tools: Sequence[Mapping[str, Any]] = ()
) -> str:
    """32 hex digits, the 128-bit BLAKE2b of the canonical JSON of what is trained on.

    That is per message its role, content, whether it is trained on and what the chat template reads besides,
    and the tools. Nothing is stripped or normalised. Neither the schema nor other columns take part, so that
    the same conversation has one fingerprint however it is written down.

    Raises:
        TypeError: `extra` or `tools` hold what JSON cannot, such as binary data.
    """
    turns = [
        (m.role, m.content, trained, m.extra) if m.extra else (m.role, m.content, trained)
        for m, trained in zip(messages, mask, strict=True)
    ]
    # JSON may hold lone surrogates, which are no Unicode text but still content.
    data = _canonical((turns, tools)).encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=16, person=_VERSION).hexdigest()

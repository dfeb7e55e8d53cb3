"""Columns that look as if they were trained on, and are not read: each is named in a note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqsd_lint.samples.conversation import ANSWERS, PROMPTS, Turns
from sqsd_lint.samples.readers import CONTEXTS
from sqsd_lint.samples.values import is_blank

MEDIA = ("image", "images", "audio", "audios", "video", "videos", "pixel_values", "input_audio")
"""Columns that no text stands in."""

# What may be a part of an answer, and is learnt by nobody who does not say so.
_THOUGHTS = (
    *("cot", "complex_cot", "chain_of_thought", "reasoning", "reasoning_content", "reasoning_trace"),
    *("thinking", "thinking_trajectory", "thinking_trajectories", "thought", "thoughts"),
    *("rationale", "analysis", "scratchpad"),
)
# Columns of these names hold metadata more often than text.
_METADATA = ("target", "targets", "user", "bot")
_SUSPECTS = frozenset((*PROMPTS, *ANSWERS, *_THOUGHTS, *CONTEXTS)) - {*_METADATA}


def unread(raw: Mapping[str, Any], turns: Turns) -> list[str]:
    """Return the columns that look like a prompt, an answer or a thought, or hold media, and are not read."""
    found = [name for name in MEDIA if not is_blank(raw.get(name))]
    suspects = raw.keys() & _SUSPECTS
    for name in sorted(suspects):
        value = raw[name]
        texts = value if isinstance(value, list) else [value]
        words = [text for text in texts if isinstance(text, str) and text.strip()]
        if words and not all(any(text.strip() in heard for heard in _texts_of(turns)) for text in words):
            found.append(name)
    return found


def _texts_of(turns: Turns) -> list[str]:
    texts = []
    for message in turns[0]:
        texts.append(message.content)
        texts += [value for value in message.extra.values() if isinstance(value, str)]
    return texts

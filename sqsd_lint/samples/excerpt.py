"""A few words of a sample, for reports."""

from __future__ import annotations

from collections.abc import Sequence

from sqsd_lint.types import Message, Sample

_MOST = 240


def excerpt(sample: Sample) -> str:
    """The last prompt and the start of its answer, "prompt → answer", each cut at 240 characters.

    Raw text of the row: line breaks and control characters are in it, and escaping is the report's. Only lone
    surrogates are replaced, since no output could encode them.
    """
    return excerpt_of(sample.messages, sample.mask)


def excerpt_of(messages: Sequence[Message], mask: Sequence[bool]) -> str:
    """`excerpt` for a conversation that has not become a sample."""
    answer = next((i for i in reversed(range(len(messages))) if mask[i]), len(messages))
    prompt = next((m.content for m in reversed(messages[:answer]) if m.role == "user"), "")
    learnt = messages[answer].content if answer < len(messages) else ""
    text = " → ".join(_cut(part) for part in (prompt, learnt) if part)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"

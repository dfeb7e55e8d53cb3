"""The one line of configuration that mends a row of no known layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqsd_lint.samples.conversation import ANSWERS, PROMPTS
from sqsd_lint.samples.roles import toml_text


def suggest(raw: Mapping[str, Any]) -> str:
    """Return the line of configuration that is most likely meant for a row: `columns = { ... }`."""
    texts = [
        key
        for key, value in list(raw.items())[:100]
        if isinstance(value, str) and value.strip() and len(key) <= 40
    ]
    chats = [
        key
        for key, value in list(raw.items())[:100]
        if isinstance(value, list) and value and isinstance(value[0], dict) and len(key) <= 40
    ]
    if chats:
        return columns_line(messages=chats[0])
    answer = next((key for key in texts if key.lower() in ANSWERS), None)
    prompt = next((key for key in texts if key.lower() in PROMPTS and key != answer), None)
    if answer is None and prompt is None and len(texts) == 1:
        return columns_line(text=texts[0])
    long = sorted(texts, key=lambda key: -len(raw[key]))[:2]
    rest = [key for key in texts if key in long and key not in (prompt, answer)]
    prompt = prompt or (rest.pop(0) if rest else "...")
    answer = answer or (rest.pop(-1) if rest else "...")
    return columns_line(prompt=prompt, response=answer)


def columns_line(**parts: str) -> str:
    """Return the line of configuration that names columns."""
    return f"columns = {{ {', '.join(f'{part} = {toml_text(name)}' for part, name in parts.items())} }}"

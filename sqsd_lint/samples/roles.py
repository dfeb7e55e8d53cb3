"""Whose turn a message is: role names as data sets write them, and as chat templates know them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sqsd_lint.errors import ConfigError

TEMPLATE_ROLES = ("system", "developer", "user", "assistant", "tool")

ROLES: dict[str, str] = {
    **{role: role for role in TEMPLATE_ROLES},
    **dict.fromkeys(("sys", "system_prompt", "system_message"), "system"),
    **dict.fromkeys(("human", "prompter", "usr", "user_message", "questioner", "asker"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "gpt4", "gpt_4", "gpt_3_5", "gpt_3_5_turbo", "model"), "assistant"),
    **dict.fromkeys(("bot", "chatbot", "ai", "ai_assistant", "llm", "bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("gemini", "llama", "vicuna", "mistral", "qwen", "copilot"), "assistant"),
    **dict.fromkeys(("function_call", "functioncall", "tool_call", "tool_calls", "tool_caller"), "assistant"),
    **dict.fromkeys(("function", "function_response", "function_result", "funcresponse"), "tool"),
    **dict.fromkeys(("tool_response", "tool_result", "tool_results", "tool_output"), "tool"),
    **dict.fromkeys(("observation", "environment", "ipython", "code_interpreter"), "tool"),
}
"""Role names, in lower case with underscores between their words, and the roles that they are."""

_EDGES = re.compile(r"^[\s<|\[#*]+|[\s>|\]:*]+$")
_BETWEEN = re.compile(r"[\s.\-]+")


def known_role(name: str, more: Mapping[str, str]) -> str | None:
    """Return the role that a name stands for, None for a name that is not known.

    Args:
        name: as a row has it; case, marks around it and what stands between its words do not matter.
        more: the `[roles]` table of the configuration, which wins.
    """
    role = more.get(name) or ROLES.get(name)
    if role is None and len(name) <= 80:
        plain = _plain(name)
        role = next((more[each] for each in more if _plain(each) == plain), None) or ROLES.get(plain)
    return role


def _plain(name: str) -> str:
    return _BETWEEN.sub("_", _EDGES.sub("", name).lower())


def check_roles(roles: Mapping[str, str]) -> dict[str, str]:
    """Return the `[roles]` table of a configuration.

    Raises:
        ConfigError: a role that no chat template knows.
    """
    for name, role in roles.items():
        if role not in TEMPLATE_ROLES:
            raise ConfigError(
                f"[roles] makes {name[:40]!r} the role {str(role)[:40]!r}",
                hint=f"a role is one of {', '.join(TEMPLATE_ROLES)}",
            )
    return dict(roles)


def suggest_roles(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return the line of configuration that names unknown roles: `roles = { patient = "user" }`.

    Args:
        unknown: role names of a conversation in the order in which they first speak.
        known: the roles that its other messages have.
    """
    free = [role for role in ("user", "assistant") if role not in set(known)] or ["assistant"]
    pairs = []
    for number, name in enumerate(unknown):
        pairs.append(f'{toml_key(name)} = "{free[min(number, len(free) - 1)]}"')
    return f"roles = {{ {', '.join(pairs[:4])} }}"


def toml_key(name: str) -> str:
    """Return a name as TOML takes it for a key."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def toml_text(text: str) -> str:
    """Return text as a TOML string."""
    import json

    return json.dumps(text)  # TOML's basic strings have JSON's escapes

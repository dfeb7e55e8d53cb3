"""Rendering a conversation: the model's own chat template, or a plain one where it has none.

Loading a tokenizer from a local folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.common.model_folder import read_config
from sqsd_lint.errors import ModelError
from sqsd_lint.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer that lies beside a model.

    Raises:
        ModelError: the folder holds no tokenizer that transformers can load.
    """
    try:
        if _is_generic(folder):
            from transformers import PreTrainedTokenizerFast

            loader: Any = PreTrainedTokenizerFast
        else:
            from transformers import AutoTokenizer

            loader = AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:
        raise ModelError(
            f"{folder}: no tokenizer could be loaded from it: {error}",
            hint="save the tokenizer beside the model (tokenizer.json, tokenizer_config.json)",
        ) from error
    return tokenizer


def _is_generic(folder: Path) -> bool:
    """Return whether a Llama's tokenizer is all that its tokenizer.json says, of no class of its own.

    AutoTokenizer comes to the same class, and imports the model's code to find out, which takes seconds.
    """
    try:
        config = read_config(folder)
        own = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (ModelError, OSError, ValueError):
        return False
    return (
        isinstance(own, dict)
        and own.get("tokenizer_class") in _GENERIC
        and "auto_map" not in own
        and config.get("model_type") == "llama"
        and not {"auto_map", "model_name", "tokenizer_class"} & config.keys()
        and (folder / "tokenizer.json").is_file()
    )


# transformers' names of the class that adds nothing to tokenizer.json: its own, and the one before version 5.
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
_SENTINEL = "sqsdlintsentinel"
_PLAIN_HEADS = {
    "system": "### System:\n",
    "user": "### Instruction:\n",
    "assistant": "### Response:\n",
    "tool": "### Tool:\n",
}

NOTE_PLAIN = "the tokenizer has no chat template: rows are rendered with a plain instruction template"
NOTE_SYSTEM = "the chat template takes no system message: it is put before the first user message"


class Template:
    """One way to turn messages into text.

    Args:
        arguments: what else the chat template is called with, such as Qwen3's `enable_thinking`.

    Attributes:
        end_of_turn: what closes an assistant turn, up to and including its special token.
        bos: text to put before a rendered conversation ("" where the template writes it itself).
        notes: what a reader of the scores has to know about the rendering.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._arguments = dict(arguments or {})
        self.notes: list[str] = []
        self._plain = not tokenizer.chat_template
        self._system_refused = False
        if self._plain:
            self.notes.append(NOTE_PLAIN)
            self.bos = bos_text(tokenizer)
            self.end_of_turn = str(tokenizer.eos_token or "\n\n")
        else:
            self.bos = ""
            self.end_of_turn = self._find_end_of_turn()
            self._system_refused = not self._takes_system()

    def forget_rows(self) -> None:
        """Forget the notes on conversations before."""
        self.notes = [note for note in self.notes if note != NOTE_SYSTEM]

    def render(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Text of `messages`, closed by the prompt for the next assistant turn if asked for.

        Raises:
            Exception: whatever the template raises on a conversation that it does not accept.
        """
        if self._system_refused and any(m.role in ("system", "developer") for m in messages):
            if NOTE_SYSTEM not in self.notes:
                self.notes.append(NOTE_SYSTEM)
            messages = _merge_system(messages)
        if self._plain:
            return self.bos + self._render_plain(messages, generation_prompt)
        return self._apply([_as_dict(m) for m in messages], generation_prompt, list(tools) or None)

    def _apply(self, messages: list[dict[str, Any]], generation_prompt: bool, tools: Any = None) -> str:
        text = self._tokenizer.apply_chat_template(
            messages,
            tools=tools,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **self._arguments,
        )
        assert isinstance(text, str)
        return text

    def _render_plain(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        parts = []
        for m in messages:
            end = self.end_of_turn if m.role == "assistant" else ""
            parts.append(f"{_PLAIN_HEADS.get(m.role, f'### {m.role}:' + chr(10))}{m.content}{end}\n\n")
        if generation_prompt:
            parts.append(_PLAIN_HEADS["assistant"])
        return "".join(parts)

    def _find_end_of_turn(self) -> str:
        """Return what the template writes after an assistant's words, through the first special token."""
        fallback = str(self._tokenizer.eos_token or "")
        try:
            text = self._apply(
                [{"role": "user", "content": "x"}, {"role": "assistant", "content": _SENTINEL}], False
            )
        except Exception:
            return fallback
        _, found, suffix = text.rpartition(_SENTINEL)
        if not found:
            return fallback
        ends = [
            suffix.index(token) + len(token)
            for token in {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
            if token and token in suffix
        ]
        # The first special token to *end*: "<|end|>\n<|endoftext|>" closes with "<|end|>".
        return suffix[: min(ends)] if ends else (suffix.rstrip() or fallback)

    def _takes_system(self) -> bool:
        try:
            text = self._apply(
                [{"role": "system", "content": _SENTINEL}, {"role": "user", "content": "x"}], True
            )
        except Exception:
            return False
        return _SENTINEL in text


def bos_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the BOS token as text where the tokenizer puts one before plain text, else ""."""
    bos_id = tokenizer.bos_token_id
    ids = tokenizer("a", add_special_tokens=True)["input_ids"]
    return str(tokenizer.bos_token) if bos_id is not None and ids and ids[0] == bos_id else ""


def _as_dict(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, **message.extra}


def _merge_system(messages: Sequence[Message]) -> list[Message]:
    system = "\n\n".join(m.content for m in messages if m.role in ("system", "developer"))
    rest = [m for m in messages if m.role not in ("system", "developer")]
    for i, m in enumerate(rest):
        if m.role == "user":
            rest[i] = Message(m.role, f"{system}\n\n{m.content}", m.extra)
            return rest
    return [Message("user", system), *rest]

"""Sample -> Encoded: which tokens the model sees, and which of them count.

The text is the template's rendering of everything before the last trained answer, then that answer, then
the template's end-of-turn token, and nothing after it. A token counts if it starts inside a trained
answer (its end-of-turn included), judged by character offsets: a token that straddles the border between
prompt and answer belongs to the prompt. Special tokens are never added a second time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqsd_lint.encode.alignment import Place, Span, places
from sqsd_lint.encode.template import Template, bos_text
from sqsd_lint.types import Encoded, Problem, Sample, Truncated, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnencodableError(ValueError):
    """A sample that the chat template refuses or of which nothing can be scored."""

    def problem(self, sample: Sample) -> Problem:
        """What a report says about the row."""
        return Problem(
            "SQSD301",
            sample.where,
            str(self),
            hint="give the row an answer to train on, or remove it",
            fingerprint=sample.fingerprint,
        )


class Encoder:
    """Encodes samples for one tokenizer.

    Args:
        tokenizer: of the target model; a fast one, since labels are set by character offset.
        max_length: tokens per row at most, prompt and answer together.
        turns: "all" counts every trained assistant turn, "last" only the last one.

    Attributes:
        tokenizer: as given.
        notes: what a report has to say about the rendering (no chat template, system message moved).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, max_length: int = 1024, turns: Turns = "all"
    ) -> None:
        if max_length < 2:
            raise ValueError(f"max_length must be at least 2, got {max_length}")
        self.tokenizer = tokenizer
        self._template = Template(tokenizer)
        self._max_length = max_length
        self._turns = turns

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._template.notes)

    @property
    def end_of_turn(self) -> str:
        return self._template.end_of_turn

    def encode(self, sample: Sample) -> Encoded:
        """Token ids and labels of one sample.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        text, spans = self._text(sample)
        ids, counts, _ = self._tokenize(text, tuple(spans.values()))
        return self._truncate(ids, counts)

    def encode_located(self, sample: Sample) -> tuple[Encoded, list[Place | None]]:
        """As `encode`, and for each token its place in the messages' own words.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        text, spans = self._text(sample)
        ids, counts, offsets = self._tokenize(text, tuple(spans.values()))
        kept = self._truncate(list(range(len(ids))), counts).ids
        found = places(sample, text, spans, [offsets[i] for i in kept], self.end_of_turn)
        return self._truncate(ids, counts), found

    def _text(self, sample: Sample) -> tuple[str, dict[int, Span]]:
        """The rendered sample, and by message the characters that are trained on."""
        if len(sample.messages) == 1 and sample.messages[0].role == "text":
            return self._plain_text(sample.messages[0].content)
        return self._conversation(sample)

    def _plain_text(self, content: str) -> tuple[str, dict[int, Span]]:
        # Pre-rendered text often carries its own BOS and EOS.
        bos, eos = bos_text(self.tokenizer), str(self.tokenizer.eos_token or "")
        bos = "" if content.startswith(bos) else bos
        text = bos + content + ("" if content.endswith(eos) and content != eos else eos)
        return text, {0: (len(bos), len(text))}

    def _conversation(self, sample: Sample) -> tuple[str, dict[int, Span]]:
        trained = [i for i, counts in enumerate(sample.mask) if counts]
        if not trained:
            raise UnencodableError("no assistant turn is trained on")
        last = trained[-1]
        wanted = trained if self._turns == "all" else [last]
        prompt = self._render(sample, last)
        text = prompt + self._last_answer(sample, last, prompt)
        spans = {i: self._span_in_history(sample, i, text, len(prompt)) for i in wanted if i != last}
        return text, {**spans, last: (len(prompt), len(text))}

    def _render(self, sample: Sample, count: int, *, generation_prompt: bool = True) -> str:
        """The first `count` messages as text."""
        try:
            return self._template.render(
                sample.messages[:count], generation_prompt=generation_prompt, tools=sample.tools
            )
        except Exception as error:
            raise UnencodableError(f"the chat template refuses the conversation: {error}") from error

    def _last_answer(self, sample: Sample, turn: int, prompt: str) -> str:
        """The answer as it stands, closed by the end-of-turn; tool calls only a template can write."""
        message, eot = sample.messages[turn], self._template.end_of_turn
        if not message.extra.get("tool_calls"):
            return message.content + eot
        whole = self._render(sample, turn + 1, generation_prompt=False)
        if not whole.startswith(prompt):
            raise UnencodableError(
                f"the chat template does not write the tool calls of message {turn + 1} after its prompt"
            )
        written = whole[len(prompt) :]
        end = written.rfind(eot) + len(eot) if eot in written else len(written)
        return written[:end]

    def _span_in_history(self, sample: Sample, turn: int, text: str, limit: int) -> Span:
        """Characters of an earlier answer and its end-of-turn inside the rendered prompt.

        A template may trim an answer, drop its thoughts (Qwen3) or write tool calls behind it, so three ways
        are tried, from the most exact to the most lenient.
        """
        eot = self._template.end_of_turn
        before = self._render(sample, turn)
        is_prefix = text.startswith(before)
        if is_prefix:
            whole = self._render(sample, turn + 1, generation_prompt=False)
            end = whole.rfind(eot) + len(eot) if eot in whole else len(whole)
            if end > len(before) and text.startswith(whole[:end]):
                return len(before), end
        start = len(before) if is_prefix else _common_prefix(before, text)
        content = sample.messages[turn].content
        for words in filter(None, (content, content.strip())):
            at = text.find(words, start, limit)
            if at >= 0:
                stop = at + len(words)
                return at, stop + len(eot) if text.startswith(eot, stop) else stop
        at = text.find(eot, start, limit) if is_prefix else -1
        if at > start:
            return start, at + len(eot)
        raise UnencodableError(f"the chat template does not reproduce the answer of message {turn + 1}")

    def _tokenize(self, text: str, spans: Sequence[Span]) -> tuple[list[int], list[bool], list[Span]]:
        """Ids, which of them are trained on, and each one's characters of `text`."""
        # A lone surrogate is valid JSON but no Unicode text: tokenizers only take the latter.
        clean = _SURROGATE.sub("\ufffd", text)
        if not getattr(self.tokenizer, "is_fast", False):
            return self._tokenize_pieces(clean, spans)
        encoding = self.tokenizer(clean, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = encoding["input_ids"]
        offsets: list[Span] = encoding["offset_mapping"]
        counts = [any(begin <= start and stop <= end for begin, end in spans) for start, stop in offsets]
        return ids, counts, offsets

    def _tokenize_pieces(self, text: str, spans: Sequence[Span]) -> tuple[list[int], list[bool], list[Span]]:
        """Without offsets the borders are kept by tokenising prompt and answers one by one.

        Where a token stands inside its piece is then not known, which a negative span says.
        """
        ids: list[int] = []
        counts: list[bool] = []
        at = 0
        for begin, end in [*sorted(spans), (len(text), len(text))]:
            for piece, trained in ((text[at:begin], False), (text[begin:end], True)):
                new = self.tokenizer(piece, add_special_tokens=False)["input_ids"] if piece else []
                ids += new
                counts += [trained] * len(new)
            at = end
        return ids, counts, [(-1, -1)] * len(ids)

    def _truncate(self, ids: list[int], counts: list[bool]) -> Encoded:
        truncated: list[str] = []
        total = sum(counts[1:])
        excess = len(ids) - self._max_length
        if excess > 0 and total:
            first = counts.index(True, 1)
            # One token stays before the answer, since its first token has to be predicted from something.
            left = min(excess, first - 1)
            if left:
                ids, counts = ids[left:], counts[left:]
                truncated.append("prompt")
        kept = sum(counts[1 : self._max_length])
        if len(ids) > self._max_length:
            ids, counts = ids[: self._max_length], counts[: self._max_length]
        if kept < total:
            truncated.append("response")
        if not kept:
            raise UnencodableError("no response token is left to score")
        labels = [i if c else IGNORE for i, c in zip(ids, counts, strict=True)]
        labels[0] = IGNORE  # nothing predicts the first token
        kind: Truncated = "+".join(truncated)  # type: ignore[assignment]
        return Encoded(tuple(ids), tuple(labels), kind, kept, total - kept)


def _common_prefix(a: str, b: str) -> int:
    if b.startswith(a):
        return len(a)
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n

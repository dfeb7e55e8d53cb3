"""Sample -> Encoded: which tokens the model sees, and which of them count.

The text is the template's rendering of everything before the last trained answer, then that answer, then
the template's end-of-turn token, and nothing after it. An answer with text beside its content (thoughts,
calls of tools) is what the template makes of the whole conversation, as a trainer renders it. A token counts
if it starts inside a trained answer (its end-of-turn included), judged by character offsets: a token that
straddles the border between prompt and answer belongs to the prompt. Special tokens are never added a second
time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from sqsd_lint.encode.alignment import Place, Span, places
from sqsd_lint.encode.template import Template, bos_text
from sqsd_lint.encode.windows import IGNORE, kept_head, parts, split
from sqsd_lint.types import OTHER_TEXT, Encoded, LongAnswers, Problem, Sample, Truncated, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SURROGATE = re.compile("[\ud800-\udfff]")


class UnencodableError(ValueError):
    """A sample that the chat template refuses or of which nothing can be scored."""

    def problem(self, sample: Sample) -> Problem:
        """Return what a report says about the row."""
        return Problem(
            "SQSD301",
            sample.where,
            str(self),
            hint="give the row an answer to train on, or remove it",
            fingerprint=sample.fingerprint,
        )


class _Tokens(NamedTuple):
    """A rendered sample, uncut.

    Attributes:
        spans: turn -> the characters of `text` that are trained on.
        counts: whether each token is trained on.
        offsets: each token's characters of `text`.
        head: how many tokens at the front are cut last, and how many never.
        dropped: as in `Encoded`.
    """

    text: str
    spans: dict[int, Span]
    ids: list[int]
    counts: list[bool]
    offsets: list[Span]
    head: tuple[int, int]
    dropped: tuple[str, ...]


class Encoder:
    """Encodes samples for one tokenizer.

    Args:
        tokenizer: of the target model; a fast one, since labels are set by character offset.
        max_length: tokens per row at most, prompt and answer together.
        turns: "all" counts every trained assistant turn, "last" only the last one.
        template_arguments: what else the chat template is called with.
        long_answers: what `encode_parts` makes of a row whose answers are longer than `max_length`: "windows"
            that overlap, or "cut", the beginning alone.

    Attributes:
        tokenizer: as given.
        notes: what a report has to say about the rendering (no chat template, system message moved).
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 1024,
        turns: Turns = "all",
        template_arguments: Mapping[str, Any] | None = None,
        long_answers: LongAnswers = "cut",
    ) -> None:
        if max_length < 2:
            raise ValueError(f"max_length must be at least 2, got {max_length}")
        self.tokenizer = tokenizer
        self._template = Template(tokenizer, template_arguments)
        self._max_length = max_length
        self._turns = turns
        self._long_answers = long_answers

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._template.notes)

    def forget_rows(self) -> None:
        """Forget the notes on how rows before were rendered."""
        self._template.forget_rows()

    @property
    def end_of_turn(self) -> str:
        return self._template.end_of_turn

    def encode(self, sample: Sample) -> Encoded:
        """Token ids and labels of one sample, cut to the maximal length.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        return self._whole(self._tokens(sample))

    def encode_parts(self, sample: Sample) -> list[Encoded]:
        """Return what `encode` does; of a sample that would lose a part of its answers, windows if asked for.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        tokens = self._tokens(sample)
        if self._is_cut(tokens):
            return [encoded for encoded, _ in self._windows(tokens)]
        return [self._whole(tokens)]

    def answer_parts(self, sample: Sample) -> list[Encoded]:
        """Return the parts of what `encode_parts` sees of a sample's answers; at least one.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        return [encoded for encoded, _ in self._answer_parts(self._tokens(sample))]

    def locate_parts(self, sample: Sample) -> list[tuple[Encoded, list[Place | None]]]:
        """Return what `encode_parts` does, and for each token its place in the messages' own words.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        tokens = self._tokens(sample)
        if self._is_cut(tokens):
            found = self._windows(tokens)
        else:
            kept = self._truncate(list(range(len(tokens.ids))), tokens.counts, tokens.head).ids
            found = [(self._whole(tokens), list(kept))]

        return self._located(sample, tokens, found)

    def locate_answer_parts(self, sample: Sample) -> list[tuple[Encoded, list[Place | None]]]:
        """Return what `answer_parts` does, and for each token its place in the messages' own words.

        Raises:
            UnencodableError: the template refuses the conversation, or no response token is left.
        """
        tokens = self._tokens(sample)
        return self._located(sample, tokens, self._answer_parts(tokens))

    def _located(
        self, sample: Sample, tokens: _Tokens, found: Sequence[tuple[Encoded, list[int]]]
    ) -> list[tuple[Encoded, list[Place | None]]]:
        def located(positions: Sequence[int]) -> list[Place | None]:
            offsets = [tokens.offsets[i] for i in positions]
            return places(sample, tokens.text, tokens.spans, offsets, self.end_of_turn)

        return [(encoded, located(positions)) for encoded, positions in found]

    def _tokens(self, sample: Sample) -> _Tokens:
        text, spans = self._text(sample)
        ids, counts, offsets = self._tokenize(text, tuple(spans.values()))
        dropped = self._dropped(sample, text, spans)
        head = self._head_tokens(sample, text, ids, offsets)
        return _Tokens(text, spans, ids, counts, offsets, head, dropped)

    def _whole(self, tokens: _Tokens) -> Encoded:
        return self._truncate(tokens.ids, tokens.counts, tokens.head, tokens.dropped)

    def _is_cut(self, tokens: _Tokens) -> bool:
        """Whether windows are asked for, and the answers do not fit even without their prompt."""
        if self._long_answers == "cut" or len(tokens.ids) <= self._max_length:
            return False
        return bool(sum(tokens.counts[1:]) and self._whole(tokens).response_lost)

    def _windows(self, tokens: _Tokens) -> list[tuple[Encoded, list[int]]]:
        return split(
            tokens.ids,
            tokens.counts,
            length=self._max_length,
            head=tokens.head[0],
            dropped=tokens.dropped,
        )

    def _answer_parts(self, tokens: _Tokens) -> list[tuple[Encoded, list[int]]]:
        whole = self._windows(tokens)[0][0] if self._is_cut(tokens) else self._whole(tokens)
        scored = sum(tokens.counts[1:]) - whole.response_lost
        seen = list(accumulate(tokens.counts[1:], initial=0))
        end = seen.index(scored) + 1  # of the last token that was scored; it may be followed by others
        return parts(tokens.ids[:end], tokens.counts[:end], head=tokens.head[1], dropped=tokens.dropped)

    def _dropped(self, sample: Sample, text: str, spans: Mapping[int, Span]) -> tuple[str, ...]:
        """Return what trained turns hold that the template does not write, by the keys of a message.

        Raises:
            UnencodableError: nothing of any of them is written.
        """
        lost: dict[str, None] = {}
        beside = False
        for turn, (begin, end) in spans.items():
            message, written = sample.messages[turn], text[begin:end]
            for key in OTHER_TEXT:
                if key in message.extra:
                    beside = True
                    if not _is_written(message.extra[key], written):
                        lost[key] = None
            thought = _thought_in(message.content)
            if thought and thought not in written:
                lost["<think>"] = None
        if beside and lost and not any(self._says(text[begin:end]) for begin, end in spans.values()):
            keys = ", ".join(lost)
            raise UnencodableError(f"the chat template writes nothing of the answer, which is all in {keys}")
        return tuple(lost)

    def _says(self, written: str) -> bool:
        """Whether a rendered answer holds any word."""
        words = written.removesuffix(self._template.end_of_turn)
        return bool(re.sub(r"</?think>", "", words).strip())

    def _text(self, sample: Sample) -> tuple[str, dict[int, Span]]:
        """Return the rendered sample, and by message the characters that are trained on."""
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
        text, begin = self._with_answer(sample, last)
        spans = {i: self._span_in_history(sample, i, text, begin) for i in wanted if i != last}
        return text, {**spans, last: (begin, len(text))}

    def _render(self, sample: Sample, count: int, *, generation_prompt: bool = True) -> str:
        """Return the first `count` messages as text."""
        try:
            return self._template.render(
                sample.messages[:count], generation_prompt=generation_prompt, tools=sample.tools
            )
        except Exception as error:
            raise UnencodableError(f"the chat template refuses the conversation: {error}") from error

    def _with_answer(self, sample: Sample, turn: int) -> tuple[str, int]:
        """Return the text up to the end of an answer, and where the answer begins in it.

        The answer stands as the row has it, closed by the end-of-turn. What it says beside its content only a
        template can write, which then renders the whole conversation.
        """
        message, eot = sample.messages[turn], self._template.end_of_turn
        prompt = self._render(sample, turn)
        if not any(key in message.extra for key in OTHER_TEXT):
            return prompt + message.content + eot, len(prompt)
        whole = self._render(sample, turn + 1, generation_prompt=False)
        if not any(_is_written(message.extra[key], whole) for key in OTHER_TEXT if key in message.extra):
            return prompt + message.content + eot, len(prompt)
        begin = len(prompt)
        if not whole.startswith(prompt):
            # The prompt for an answer may hold what the answer itself begins with: an empty thought.
            before = self._render(sample, turn, generation_prompt=False)
            begin = _common_prefix(prompt, whole)
            if not whole.startswith(before) or begin <= len(before):
                raise UnencodableError(
                    f"the chat template does not write message {turn + 1} after its prompt"
                )
        end = whole.rfind(eot) + len(eot) if eot in whole[begin:] else len(whole)
        return whole[:end], begin

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

    def _head_tokens(
        self, sample: Sample, text: str, ids: Sequence[int], offsets: Sequence[Span]
    ) -> tuple[int, int]:
        """How many tokens come before the first words of the conversation: BOS, the system turn, headers.

        Returns:
            Their number, and how many of them are never cut: 1 for a BOS.
        """
        bos = self.tokenizer.bos_token_id
        least = 1 if bos is not None and ids and ids[0] == bos else 0
        if len(ids) <= self._max_length or not offsets or offsets[0][0] < 0:
            return least, least
        at = 0
        for message in sample.messages:
            words = _SURROGATE.sub("\ufffd", message.content.strip())
            found = text.find(words, at) if words else -1
            if found < 0:
                continue
            if message.role not in ("system", "developer"):
                return max(least, sum(stop <= found for _, stop in offsets)), least
            at = found + len(words)
        return least, least

    def _truncate(
        self,
        ids: list[int],
        counts: list[bool],
        head: tuple[int, int] = (0, 0),
        dropped: tuple[str, ...] = (),
    ) -> Encoded:
        """Cut to the maximal length: first the middle of the prompt, then the end of the response.

        Args:
            head: how many tokens at the front are cut last, and how many never: see `_head_tokens`.
        """
        truncated: list[str] = []
        total = sum(counts[1:])
        excess = len(ids) - self._max_length
        if excess > 0 and total:
            first = counts.index(True, 1)
            # One token stays before the answer, since its first token has to be predicted from something.
            left = max(0, min(excess, first - 1 - head[1]))
            if left:
                at = kept_head(head[0], first, first - left)
                ids, counts = ids[:at] + ids[at + left :], counts[:at] + counts[at + left :]
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
        return Encoded(tuple(ids), tuple(labels), kind, kept, total - kept, dropped)


def _is_written(value: Any, text: str) -> bool:
    """Whether a template has written what a message holds beside its content: the longest text of it."""
    longest = max((leaf.strip() for leaf in _leaves(value)), key=len, default="")
    if not longest:
        return False
    # An argument may be written as JSON, with its escapes; one that is JSON may be taken apart.
    spellings = (longest, json.dumps(longest, ensure_ascii=False)[1:-1], json.dumps(longest)[1:-1])
    if any(spelling in text for spelling in spellings):
        return True
    try:
        inner = json.loads(longest) if longest[0] in "{[" else None
    except (ValueError, RecursionError):
        return False
    return bool(inner) and _is_written(inner, text)


def _leaves(value: Any) -> Iterator[str]:
    """Yield the words in a value: its texts, but of a call neither its id nor its type."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in ("id", "type", "index"):
                yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)


def _thought_in(content: str) -> str:
    """Return the thought that stands before an answer in its content, "" if none does."""
    before, mark, _ = content.partition("</think>")
    return before.rpartition("<think>")[2].strip() if mark else ""


def _common_prefix(a: str, b: str) -> int:
    if b.startswith(a):
        return len(a)
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n

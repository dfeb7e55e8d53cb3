"""Overlapping windows over what is trained on: of answers longer than one sequence, and of any answer.

Each window is a row of its own: its piece of the answer, and before it as much of the conversation as fits,
the beginning and the end of the prompt and the tokens just before the window. Only the window's own tokens
count. The windows of a long answer are as large as a sequence, so that all of it is scored; the parts of an
answer that fits are small and lie within one turn, so that harm is not averaged away over what is around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from sqsd_lint.types import AnswerPart, AnswerWindow, Encoded

IGNORE = -100

# Shares of the maximal length. A passage of up to OVERLAP tokens lies in some window as a whole; an answer
# costs 1 / (1 - CONTEXT - OVERLAP) = 1.6 computed tokens for each of its own.
CONTEXT, OVERLAP = 1 / 4, 1 / 8

# A bound on what one row can cost, whatever its text: 40,000 tokens at the default maximal length.
MOST = 64

# Tokens of a part: of the answer, of what is read before it (more where a turn is short), and of what
# neighbours share. What such parts find is measured in docs/dilution.md.
PART, PART_CONTEXT, PART_OVERLAP = 64, 64, 16

Range = tuple[int, int]


def plan(first: int, end: int, *, length: int, context: int, overlap: int) -> list[Range]:
    """Return the windows of the positions `first` to `end` of a sequence, in order.

    The first one takes what a short prompt leaves of its context; the last one reaches back, so that it is no
    shorter than others.

    Args:
        first: of the first token that is trained on, at least 1.
        length: tokens of a row, context included.
        context: tokens of them that stand before a window.
        overlap: tokens that a window shares with the one before it.
    """
    width = length - context
    found = [(first, min(end, first + length - min(first, context)))]
    while (last := found[-1][1]) < end:
        stop = min(end, last - overlap + width)
        found.append((max(first, stop - width), stop))
    return found


def context_positions(first: int, begin: int, room: int, head: int) -> list[int]:
    """Return the positions before a window that fit into `room`, in order.

    A window that does not begin the answer is read after at least half of the room of what comes just before
    it; the rest of the room is the prompt's, whose middle is cut.

    Args:
        first: of the first token that is trained on: where the prompt ends.
        begin: of the window.
        head: how many tokens at the front of the prompt are cut last.
    """
    before = min(begin - first, room - min(first, room // 2))
    prompt = min(first, room - before)
    at = prompt if prompt == first else kept_head(min(head, first), first, prompt)
    return [*range(at), *range(first - (prompt - at), first), *range(begin - before, begin)]


def kept_head(head: int, prompt: int, room: int) -> int:
    """Return how many of the prompt's first tokens stay where only `room` of its tokens may.

    What comes after the head gets at least half of the room, as far as it needs it, and the last token.
    """
    after = min((room + 1) // 2, prompt - head)
    return max(0, min(head, room - max(after, 1)))


def split(
    ids: Sequence[int],
    counts: Sequence[bool],
    *,
    length: int,
    context: int | None = None,
    overlap: int | None = None,
    head: int = 0,
    most: int = MOST,
    dropped: tuple[str, ...] = (),
) -> list[tuple[Encoded, list[int]]]:
    """Return the windows of a sequence, each with the positions of its tokens.

    Args:
        ids: of the whole row; `counts` says which of them are trained on, one of them at least.
        length, context, overlap: as in `plan`; context and overlap as the shares above unless given.
        most: how many windows there may be. What further ones would hold is lost, which each window says.
    """
    first = counts.index(True, 1)
    end = len(counts) - next(i for i, counted in enumerate(reversed(counts)) if counted)
    ranges = plan(
        first,
        end,
        length=length,
        context=max(1, int(length * CONTEXT)) if context is None else context,
        overlap=int(length * OVERLAP) if overlap is None else overlap,
    )
    # A long message of the user, between two answers, may fill a window.
    ranges = [(begin, stop) for begin, stop in ranges if any(counts[begin:stop])]
    kept = ranges[:most]
    total = sum(counts[1:])
    lost = total - sum(counts[1 : kept[-1][1]])
    found = []
    for number, (begin, stop) in enumerate(kept, 1):
        before = sum(counts[1:begin])
        own = sum(counts[begin:stop])
        positions = [*context_positions(first, begin, length - (stop - begin), head), *range(begin, stop)]
        at = len(positions) - (stop - begin)
        encoded = Encoded(
            tuple(ids[i] for i in positions),
            tuple(ids[i] if n >= at and counts[i] else IGNORE for n, i in enumerate(positions)),
            "response" if lost else "",
            own,
            lost,
            dropped,
            AnswerWindow(number, len(kept), before, before + own, total),
        )
        found.append((encoded, positions))
    return found


def parts(
    ids: Sequence[int], counts: Sequence[bool], *, head: int = 0, dropped: tuple[str, ...] = ()
) -> list[tuple[Encoded, list[int]]]:
    """Return the parts of a sequence, each with the positions of its tokens; one where it is a part itself.

    Every turn that is trained on is cut into windows of its own, read after what stands just before the turn.

    Args:
        ids: of the row as far as it was scored; `counts` says which of them are trained on.
        head: how many tokens at the front stand before every part: 1 for a BOS.
    """
    before = [0, 0, *accumulate(counts[1:])]  # of tokens that count
    found: list[tuple[Encoded, list[int], int]] = []  # with the turn
    turns = _runs(counts)
    for turn, (begin, stop) in enumerate(turns, 1):
        own = [False] * begin + [True] * (stop - begin)
        context = min(begin, PART_CONTEXT)
        cut = split(
            ids[:stop],
            own,
            length=context + PART,
            context=context,
            overlap=PART_OVERLAP,
            head=head,
            most=len(own),
            dropped=dropped,
        )
        found += [(encoded, positions, turn) for encoded, positions in cut]
    placed = []
    for number, (encoded, positions, turn) in enumerate(found, 1):
        end = before[positions[-1] + 1]
        part = AnswerPart(number, len(found), end - encoded.response_tokens, end, before[-1], turn)
        placed.append((replace(encoded, window=part), positions))
    return placed


def _runs(counts: Sequence[bool]) -> list[Range]:
    """Return where runs of tokens that count begin and end; the first token of a row never counts."""
    edges = [i for i in range(1, len(counts)) if counts[i] != (counts[i - 1] and i > 1)]
    if len(edges) % 2:
        edges.append(len(counts))
    return list(zip(edges[::2], edges[1::2], strict=True))

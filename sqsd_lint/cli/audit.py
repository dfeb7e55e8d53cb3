"""`sqsd-lint baseline audit`: one finding after the other, each answered with a key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import IO

from sqsd_lint.report.views.audit import print_finding
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Violation


class Answer(str, Enum):
    """What is to become of a finding, by the key that says it."""

    ACCEPT = "a"
    REJECT = "r"
    MOVE = "m"
    SKIP = "s"
    BACK = "b"
    QUIT = "q"


WORDS = {
    Answer.ACCEPT: "accept",
    Answer.REJECT: "reject",
    Answer.MOVE: "move to quarantine",
    Answer.SKIP: "skip",
    Answer.BACK: "back",
    Answer.QUIT: "save and quit",
}


@dataclass(slots=True)
class Decisions:
    """The answers to findings, by their number.

    Attributes:
        findings: what was asked about.
        answers: accepted, rejected or to be moved; what was skipped or never reached has none.
    """

    findings: Sequence[Violation]
    answers: dict[int, Answer] = field(default_factory=dict)

    def of(self, answer: Answer) -> list[Violation]:
        """Return the findings that got an answer, in their order."""
        return [self.findings[at] for at in sorted(self.answers) if self.answers[at] is answer]

    @property
    def open(self) -> int:
        """How many findings have no answer."""
        return len(self.findings) - len(self.answers)


def ask(
    findings: Sequence[Violation],
    known: Callable[[Violation], bool],
    stream: IO[str],
    read_key: Callable[[], str],
    *,
    redact: bool = False,
) -> Decisions:
    """Go through findings and return what was answered. Nothing is written.

    Args:
        known: whether the baseline accepts a finding already.
        read_key: returns the next key, "" when there are no more.
    """
    decided = Decisions(findings)
    at = 0
    while 0 <= at < len(findings):
        violation = findings[at]
        state = WORDS[decided.answers[at]] if at in decided.answers else ""
        if not state and known(violation):
            state = "in the baseline"
        print_finding(stream, violation, at + 1, len(findings), state=state, redact=redact)
        answer = _answer(violation, at, stream, read_key)
        if answer is Answer.QUIT:
            break
        if answer is Answer.BACK:
            at -= 1
            continue
        if answer is Answer.SKIP:
            decided.answers.pop(at, None)
        else:
            decided.answers[at] = answer
        at += 1
    return decided


def _answer(violation: Violation, at: int, stream: IO[str], read_key: Callable[[], str]) -> Answer:
    """Read keys until one is an answer to the finding."""
    offered = [
        answer
        for answer in Answer
        if (answer is not Answer.MOVE or _is_movable(violation)) and (answer is not Answer.BACK or at)
    ]
    stream.write("  " + "   ".join(f"[{answer.value}] {WORDS[answer]}" for answer in offered) + "\n")
    while True:
        stream.write("> ")
        stream.flush()
        key = read_key()
        if not key:  # no more keys, as at the end of a script
            stream.write("\n")
            return Answer.QUIT
        chosen = next((answer for answer in offered if answer.value == key.lower()), None)
        if chosen is not None:
            stream.write(f"{WORDS[chosen]}\n\n")
            return chosen
        stream.write(f"{key!a} is none of these keys\n")


def _is_movable(violation: Violation) -> bool:
    rule = RULES.get(violation.rule)
    return rule is not None and rule.movable and violation.where.index >= 0


def read_key() -> str:
    """Return one key of a terminal, or the first letter of the next line that is piped in; "" at the end.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip()[:1] or ("" if not line else " ")
    try:
        import termios
        import tty
    except ImportError:  # Windows: a line it is, as above
        return input().strip()[:1] or " "
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        key = sys.stdin.read(1)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
    return "" if key == "\x04" else key

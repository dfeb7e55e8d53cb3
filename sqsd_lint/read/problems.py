"""How reading reports what it cannot read: a row is a `Problem`, the end of a file is an exception."""

from __future__ import annotations

from sqsd_lint.read.limits import Limits, in_words
from sqsd_lint.types import Problem, Where

_EXCERPT = 200


class Unreadable(Exception):
    """Reading this file cannot go on. `read_rows` turns it into the file's SQSD304.

    Args:
        message: what is wrong and what was expected.
        hint: what to do.
        line: 1-based line at which reading stopped, 0 when there is none to name.
    """

    def __init__(self, message: str, *, hint: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = line


def refuse_bomb(unfolded: int, size: int, limits: Limits, *, line: int = 0) -> None:
    """Raise Unreadable if `size` compressed bytes unfold to more bytes than they may."""
    if unfolded <= limits.unfolded_at_most(size):
        return
    if unfolded > limits.max_decompressed_bytes:
        raise Unreadable(
            f"unfolds to more than max_decompressed_bytes ({in_words(limits.max_decompressed_bytes)})",
            hint="split the file into smaller ones",
            line=line,
        )
    raise Unreadable(
        f"unfolds to more than max_ratio ({limits.max_ratio}) times its size, as a bomb does",
        hint="look at it, and turn it into plain JSON Lines yourself, if you trust it",
        line=line,
    )


def unreadable_file(file: str, error: Unreadable) -> Problem:
    """SQSD304; how many rows are lost with it is not known."""
    return Problem("SQSD304", Where(file, error.line, -1), error.message, error.hint, rows=0)


def malformed_row(where: Where, message: str, *, hint: str = "", text: bytes | str = b"") -> Problem:
    """SQSD303, with the start of the row's text as its excerpt."""
    data = text[:_EXCERPT]
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return Problem("SQSD303", where, message, hint, excerpt=data.decode("utf-8", "backslashreplace"))


def bad_utf8(error: UnicodeDecodeError, offset: int) -> str:
    """Return which byte is not UTF-8, and where: the decoded bytes began at the file's `offset`."""
    byte = error.object[error.start]
    return f"not UTF-8: byte 0x{byte:02x} at byte offset {offset + error.start}"


def missing_package(package: str, kind: str) -> Unreadable:
    """For a format whose library is not installed."""
    return Unreadable(
        f"{kind} needs the package {package}, which is not installed", hint=f"pip install {package}"
    )

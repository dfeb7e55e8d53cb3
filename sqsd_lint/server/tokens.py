"""The tokens that let clients in, from a file: several, so that one can be replaced while others hold."""

from __future__ import annotations

from pathlib import Path

from sqsd_lint.errors import UsageError

_SHORTEST = 16


def read_tokens(file: Path) -> tuple[str, ...]:
    """Return the tokens of a file, one a line; empty lines and those that begin with # are none.

    Raises:
        UsageError: it cannot be read, holds none, or one that is quickly guessed.
    """
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens or any(len(token) < _SHORTEST or not token.isascii() for token in tokens):
        raise UsageError(
            f"{file}: expected tokens of {_SHORTEST} or more ASCII characters, one a line",
            hint="`openssl rand -hex 32` makes one.",
        )
    return tokens

"""What makes a finding the same one in the next run, although rows have moved in between.

Viewers match the findings of two runs by a string. A line number would turn every inserted row into a
report of new findings; the row's fingerprint survives reordering, reformatting and metadata edits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from sqsd_lint.types import Violation

_BYTES = 16


def identities(violations: Sequence[Violation], paths: Mapping[str, str]) -> list[str]:
    """`<32 hex digits>:<ordinal>` per finding, unique among those in one file.

    The digest covers the rule and the row's fingerprint; where a row has none, the start of its text, and
    for a file as a whole the rule alone. Equal rows are told apart by an ordinal, which is a count and no
    place: moving them changes nothing.

    Args:
        paths: file as the findings name it -> its path, the same for two names of one file.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for violation in violations:
        digest = _digest(violation.rule, _content(violation))
        path = paths[violation.where.file]
        seen[path, digest] += 1
        found.append(f"{digest}:{seen[path, digest]}")
    return found


def with_path(identity: str, path: str) -> str:
    """Return an identity that holds across files, too: 32 hex digits."""
    return _digest(path, identity)


def _content(violation: Violation) -> str:
    if violation.fingerprint:
        return violation.fingerprint
    return violation.excerpt or (violation.message if violation.where.line else "")


def _digest(*parts: str) -> str:
    # Each part is preceded by its length, so that no two lists of parts run together to the same text.
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
    return blake2b(joined, digest_size=_BYTES).hexdigest()

"""Where the rows of a file go."""

from __future__ import annotations

import os

from sqsd_lint.discover import suffix_of
from sqsd_lint.discover.skip import QUARANTINE_MARK


def quarantine_of(path: str) -> str:
    """The quarantine file of a data file: "a/train.jsonl.gz" -> "a/train.quarantine.jsonl.gz".

    Raises:
        ValueError: the name ends in no known suffix.
    """
    folder, name = os.path.split(path)
    suffix = suffix_of(name)
    if not suffix:
        raise ValueError(f"no data file: {path}")
    stem, ending = name[: -len(suffix)], name[-len(suffix) :]
    return os.path.join(folder, f"{stem}{QUARANTINE_MARK}{ending}")

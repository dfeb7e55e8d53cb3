"""Git LFS: a repository keeps a pointer to a large file, and its content beside, once it was fetched."""

from __future__ import annotations

import os
import re

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n"
)
_MAX_POINTER = 1024  # as the specification of LFS has it


def fetched_content(path: str, common_dir: str) -> str | None:
    """Where the content of a pointer was fetched to, None if it was not, or for any other file.

    Args:
        path: a file as the repository keeps it.
        common_dir: the folder `.git` of the repository, the main one's in a linked work tree.
    """
    if os.path.getsize(path) > _MAX_POINTER:
        return None
    with open(path, "rb") as stream:
        match = _POINTER.match(stream.read())
    if match is None:
        return None
    digest = match[1].decode("ascii")
    content = os.path.join(common_dir, "lfs", "objects", digest[:2], digest[2:4], digest)
    return content if os.path.isfile(content) else None

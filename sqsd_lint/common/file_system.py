"""Find the file system that a path lies on, from the mount table alone."""

from __future__ import annotations

import os
from pathlib import Path

# Types of Linux's mount table on which file locks and shared memory do not reach from machine to machine.
_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs", "9p", "ceph"),
        *("lustre", "gpfs", "glusterfs", "beegfs", "orangefs", "pvfs2", "gfs2", "ocfs2"),
    )
)
# Of what runs in user space, these are local.
_LOCAL_FUSE = frozenset(("fuseblk", "fuse.overlayfs", "fuse.fuse-overlayfs", "fuse.lxcfs", "fuse.portal"))
_MOUNTS = Path("/proc/self/mounts")


def network_file_system(path: Path) -> str:
    """Return the type of the network file system that a path lies on, such as "nfs4"; "" if it is on none.

    Nothing but the mount table is read: a server that does not answer is not waited for. Systems without such
    a table (macOS, Windows) answer "".
    """
    try:
        table = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    place = os.path.realpath(path)
    best, kind = "", ""
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        folder = _unescape(fields[1])
        inside = place == folder or place.startswith(folder.rstrip("/") + "/")
        if inside and len(folder) >= len(best):  # the last of two mounts on one folder hides the first
            best, kind = folder, fields[2]
    remote = kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
    return kind if remote else ""


def _unescape(folder: str) -> str:
    """Return a folder of the mount table with its blanks, which stand there in octal."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        folder = folder.replace(code, letter)
    return folder

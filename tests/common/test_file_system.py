"""Network file systems as the mount table tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.common import file_system
from sqsd_lint.common.file_system import network_file_system

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local ext4 rw 0 0
//box/share /mnt/my\\040share cifs rw 0 0
me@host: /mnt/remote fuse.sshfs rw 0 0
/dev/sdc1 /mnt/disk fuseblk rw 0 0
overlay /mnt/over fuse.fuse-overlayfs rw 0 0
/dev/sdd1 /twice ext4 rw 0 0
server:/twice /twice nfs rw 0 0
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.cache/none", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/me", ""),
        ("/home/local/me", ""),
        ("/mnt/my share/cache", "cifs"),
        ("/mnt/remote/a/b", "fuse.sshfs"),
        ("/mnt/disk/a", ""),
        ("/mnt/over/a", ""),
        ("/twice/a", "nfs"),
        ("/var/cache", ""),
    ],
)
def test_the_nearest_mount_decides(
    path: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(file_system.os.path, "realpath", str)
    assert network_file_system(Path(path)) == kind


def test_without_a_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "none")
    assert network_file_system(tmp_path) == ""


def test_a_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "mounts").write_text(f"/dev/a / ext4 rw 0 0\nserver:/ {real} nfs rw 0 0\n")
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "mounts")
    assert network_file_system(tmp_path / "link/cache") == "nfs"

"""What a folder is mounted on, read from ``/proc/self/mountinfo`` without touching the folder itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK = (
    "afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 pvfs2 smb smb2 smb3 smbfs 9p"
)
_NETWORK_FUSE = "ceph curlftpfs davfs gcsfuse glusterfs juicefs mountpoint-s3 rclone s3fs smbnetfs sshfs"
NETWORK_TYPES = frozenset(_NETWORK.split()) | {f"fuse.{name}" for name in _NETWORK_FUSE.split()}
EPHEMERAL_TYPES = frozenset(["overlay", "overlayfs", "aufs", "tmpfs", "ramfs", "rootfs", "devtmpfs"])
EMPTY_DIR = "kubernetes.io~empty-dir"
"""What the root of a Kubernetes emptyDir's mount holds: a mount of its own that lasts as long as the pod."""

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount: where it is, what kind of file system, from what, and which part of it."""

    point: str
    fs_type: str
    source: str = ""
    root: str = "/"
    read_only: bool = False

    @property
    def is_network(self) -> bool:
        """Whether another machine keeps the files, so that kernel locks and syncs promise less."""
        return self.fs_type in NETWORK_TYPES

    @property
    def is_ephemeral(self) -> bool:
        """Whether what is written is gone with the container, the pod or the boot."""
        return self.fs_type in EPHEMERAL_TYPES or EMPTY_DIR in self.root

    @property
    def is_own(self) -> bool:
        """Whether it is mounted apart from the system's root."""
        return self.point != "/"


def mounts_in(text: str) -> tuple[Mount, ...]:
    """The mounts that a mountinfo lists; lines that are none are passed over."""
    return tuple(mount for line in text.splitlines() if (mount := _mount(line)))


def _mount(line: str) -> Mount | None:
    left, dash, right = line.partition(" - ")
    fields, rest = left.split(), right.split()
    if not dash or len(fields) < 6 or len(rest) < 1:
        return None
    options = fields[5].split(",") + (rest[2].split(",") if len(rest) > 2 else [])
    return Mount(
        _plain(fields[4]), rest[0], _plain(rest[1]) if len(rest) > 1 else "", _plain(fields[3]), "ro" in options
    )


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def mount_of(path: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount on which an absolute path lies: the deepest, and of several at one place the last."""
    found = None
    for mount in mounts:
        inside = path.is_relative_to(mount.point)
        if inside and (found is None or len(mount.point.rstrip("/")) >= len(found.point.rstrip("/"))):
            found = mount
    return found

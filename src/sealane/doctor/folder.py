"""The data folder: there, writable, private, on a local disk that lasts and has room.

The facts are gathered by ``look_at_folder``, which really writes, syncs and locks a file of its own there and removes
it again; what they mean is decided apart from the disk, by ``judge_folder``.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sealane.doctor.finding import Finding, fault, ok, skipped, warning
from sealane.doctor.mounts import EMPTY_DIR, MOUNTINFO, Mount, mount_of, mounts_in
from sealane.store.disk import OsDisk

TRIAL_PREFIX = ".sealane-doctor-"
ROOM_FAULT_BYTES = 1 << 20
ROOM_WARNING_BYTES = 64 << 20
FILES_FEW = 64
OTHERS_WRITE = 0o002
"""A group may: Kubernetes gives a volume to a pod by its group (fsGroup)."""
SUBFOLDERS = ("keys", "orders", "rates", "runs")
OURS = ("*.txt", "*.mark", "*.turn", "*.next", "keys/*.state", "orders/*", "rates/*", "runs/*")


@dataclass(frozen=True)
class FolderFacts:
    """What was seen of the data folder.

    Attributes:
        path: the folder, absolute and without links.
        kind: ``"folder"``, ``"missing"``, ``"other"``, where something else has the name, or ``"closed"``, where this
            user may not even see what is there.
        look_error: why it cannot be reached, or not be looked into; "" for nothing.
        maker: where it is missing, the nearest folder above, and whether this user may make it there.
        mount: what it lies on, None where the system does not tell.
        write_error, lock_error: what went wrong in the trial, "" for nothing.
        free_bytes, free_files: room for this user, None where it is not known or has no limit.
        loose: the folder and files that others may write.
        shut: files of ours that this user cannot open for writing, with the error.
        user_id: of this process.
    """

    path: Path
    kind: str = "folder"
    look_error: str = ""
    maker: tuple[Path, bool] | None = None
    mount: Mount | None = None
    write_error: str = ""
    lock_error: str = ""
    free_bytes: int | None = None
    free_files: int | None = None
    loose: tuple[str, ...] = ()
    shut: tuple[tuple[str, str], ...] = ()
    user_id: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether a nonce can be kept in it."""
        return self.is_readable and not (self.write_error or self.lock_error or self.shut)

    @property
    def is_readable(self) -> bool:
        """Whether it is there and can be looked into."""
        return self.kind == "folder" and not self.look_error


# --- facts --------------------------------------------------------------------------------------------------------


def look_at_folder(folder: Path, mountinfo: Path = MOUNTINFO) -> FolderFacts:
    """Gather the facts; leaves the folder as it was."""
    path = Path(os.path.realpath(folder))
    mount = mount_of(path, mounts_in(_text(mountinfo)))
    user_id = os.geteuid()
    kind, look_error = _kind(path)
    if kind != "folder":
        maker = _maker(path) if kind == "missing" else None
        return FolderFacts(path, kind, look_error, maker, mount, user_id=user_id)
    write_error, lock_error = _trial(path)
    free_bytes, free_files = _room(path)
    return FolderFacts(
        path,
        look_error=look_error,
        mount=mount,
        write_error=write_error,
        lock_error=lock_error,
        free_bytes=free_bytes,
        free_files=free_files,
        loose=tuple(_loose(path)),
        shut=tuple(_shut(path)),
        user_id=user_id,
    )


def _kind(path: Path) -> tuple[str, str]:
    """What stands there, and why it cannot be reached or looked into."""
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return "other", ""
    except (FileNotFoundError, NotADirectoryError):
        return "missing", ""
    except OSError as error:
        return "closed", shown(error)
    return "folder", _denied(path, os.R_OK | os.X_OK)


def _denied(path: Path, mode: int) -> str:
    """Permission denied, as an error is shown, where this user has not these rights; "" where it has."""
    if os.access(path, mode, effective_ids=True):
        return ""
    return shown(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _maker(path: Path) -> tuple[Path, bool]:
    """The nearest thing above that exists, and whether a folder can be made in it."""
    above = next(parent for parent in path.parents if parent.exists())
    return above, above.is_dir() and os.access(above, os.W_OK | os.X_OK, effective_ids=True)


def _trial(folder: Path) -> tuple[str, str]:
    """Write, sync and lock a file as the store does; what went wrong with either, "" for nothing."""
    disk, path = OsDisk(), folder / f"{TRIAL_PREFIX}{secrets.token_hex(8)}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return shown(error), ""
    try:
        return _attempt(lambda: _write(disk, fd)), _attempt(lambda: _lock(disk, fd, path))
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


def _write(disk: OsDisk, fd: int) -> None:
    if disk.write(fd, b"1" * 4096, 0) != 4096:
        raise OSError("only a part was written")
    disk.sync(fd)


def _lock(disk: OsDisk, fd: int, path: Path) -> None:
    if not disk.try_lock(fd):
        raise OSError("a lock that nobody holds was refused")
    if not disk.is_locked(path):
        raise OSError("a lock does not keep anybody else out")


def _attempt(act: Callable[[], None]) -> str:
    try:
        act()
    except OSError as error:
        return shown(error)
    return ""


def shown(error: OSError) -> str:
    """An error as the documents' guide shows it: ``[Errno 13] Permission denied``."""
    return f"[Errno {error.errno}] {error.strerror}" if error.errno else str(error)


def _room(folder: Path) -> tuple[int | None, int | None]:
    try:
        figures = os.statvfs(folder)
    except OSError:
        return None, None
    return figures.f_bavail * figures.f_frsize, figures.f_favail if figures.f_files else None


def _loose(folder: Path) -> Iterator[str]:
    for path in (folder, *_ours(folder)):
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS_WRITE:
                yield f"{path.relative_to(folder.parent)} ({mode:04o})"


def _shut(folder: Path) -> Iterator[tuple[str, str]]:
    for name in SUBFOLDERS:
        error = _denied(folder / name, os.R_OK | os.W_OK | os.X_OK)
        if error and os.path.lexists(folder / name):
            yield name, error
    for path in _ours(folder):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            continue
        except OSError as error:
            yield str(path.relative_to(folder)), shown(error)


def _ours(folder: Path) -> list[Path]:
    """The store's files, as far as they can be listed; what a moment removed meanwhile is passed over."""
    return [path for pattern in OURS for path in sorted(folder.glob(pattern)) if os.path.isfile(path)]  # noqa: PTH113 - a Path raises where it is not allowed to look


# --- what they mean -----------------------------------------------------------------------------------------------


def judge_folder(facts: FolderFacts) -> list[Finding]:
    """Everything that the facts say."""
    if facts.kind != "folder":
        return [_absent(facts), *_file_system(facts)]
    checks = (_there, _writable, _files, _locks, _privacy, _room_left)
    return [*(check(facts) for check in checks), *_file_system(facts)]


def _absent(facts: FolderFacts) -> Finding:
    above, makes = facts.maker or (facts.path.parent, False)
    if facts.kind == "closed":
        return fault(
            "folder-there",
            facts.path,
            f"the data folder cannot be reached: {facts.look_error} for user {facts.user_id}",
            "let that user into the folders above it (chmod a+x), run the program as the user whose they are, or name "
            "another folder in DATA_DIR",
        )
    if facts.kind == "other":
        return fault(
            "folder-there",
            facts.path,
            "the data folder's name belongs to something that is no folder",
            "move that away, or name another folder in DATA_DIR",
        )
    if makes:
        return warning(
            "folder-there",
            facts.path,
            "the data folder does not exist: the first nonce makes it. Where programs have run before, their nonces "
            "are not here",
            f"make it (mkdir -p {facts.path}), or point DATA_DIR at the folder that they used",
        )
    return fault(
        "folder-there",
        facts.path,
        f"the data folder does not exist ([Errno 2] No such file or directory) and cannot be made in {above}",
        "mount the volume there, make the folder for the user that runs the program, or name another in DATA_DIR",
    )


def _there(facts: FolderFacts) -> Finding:
    if not facts.look_error:
        return ok("folder-there", facts.path, "the data folder exists")
    return fault(
        "folder-there",
        facts.path,
        f"the data folder exists, and user {facts.user_id} may not look into it: {facts.look_error}",
        _permission_remedy(facts),
    )


def _writable(facts: FolderFacts) -> Finding:
    if not facts.write_error:
        return ok("folder-writable", facts.path, "a file was written and synced there, and removed again")
    if facts.mount is not None and facts.mount.read_only:
        remedy = f"mount {facts.mount.point} for writing, or name another folder in DATA_DIR"
    elif "Errno 28" in facts.write_error or "Errno 122" in facts.write_error:
        remedy = "free some space, or give the volume more"
    else:
        remedy = _permission_remedy(facts)
    message = f"Could not persist nonce to disk: {facts.write_error}; no nonce is issued without"
    return fault("folder-writable", facts.path, message, remedy)


def _permission_remedy(facts: FolderFacts) -> str:
    return (
        f"give the folder to the user that runs the program (chown -R {facts.user_id} {facts.path}), in a Dockerfile "
        f"'RUN mkdir -p {facts.path} && chown -R <user>:<group> {facts.path}' before USER"
    )


def _files(facts: FolderFacts) -> Finding:
    if not facts.shut:
        return ok("folder-files", facts.path, "all of its files may be written by this user")
    name, error = facts.shut[0]
    more = f", and {len(facts.shut) - 1} more" if len(facts.shut) > 1 else ""
    return fault(
        "folder-files",
        facts.path / name,
        f"Could not persist nonce to disk: {error}{more}: it belongs to another user",
        _permission_remedy(facts),
    )


def _locks(facts: FolderFacts) -> Finding:
    if facts.write_error and not facts.lock_error:
        return skipped("folder-locks", facts.path, "nothing can be written there to try a lock on")
    if not facts.lock_error:
        return ok("folder-locks", facts.path, "kernel locks (flock) keep others out there")
    return fault(
        "folder-locks",
        facts.path,
        f"kernel locks (flock) do not work there: {facts.lock_error}; two processes could draw the same nonce",
        "use a folder on a local disk",
    )


def _privacy(facts: FolderFacts) -> Finding:
    if not facts.loose:
        return ok("folder-private", facts.path, "not every user of the machine may write there")
    more = f" and {len(facts.loose) - 3} more" if len(facts.loose) > 3 else ""
    return warning(
        "folder-private",
        facts.path,
        f"any user of the machine may write {', '.join(facts.loose[:3])}{more}: whoever lowers a nonce file "
        "stops trading",
        f"chmod 700 {facts.path} and chmod 600 its files; a folder of the right owner needs no 777",
    )


def _room_left(facts: FolderFacts) -> Finding:
    free, files = facts.free_bytes, facts.free_files
    remedy = "free some space, or give the volume more: a nonce that cannot be stored is not issued"
    if free is not None and free < ROOM_FAULT_BYTES:
        return fault("folder-room", facts.path, f"the disk is full: {free:,} bytes are left", remedy)
    if files == 0:
        return fault("folder-room", facts.path, "the disk has no room for another file (no inodes are left)", remedy)
    if free is not None and free < ROOM_WARNING_BYTES:
        return warning("folder-room", facts.path, f"only {free / (1 << 20):.0f} MiB are left on the disk", remedy)
    if files is not None and files < FILES_FEW:
        return warning("folder-room", facts.path, f"only {files} more files fit on the disk (inodes)", remedy)
    return ok("folder-room", facts.path, "room enough" if free is None else f"{free / (1 << 20):,.0f} MiB are left")


def _file_system(facts: FolderFacts) -> Iterator[Finding]:
    mount = facts.mount
    if mount is None:
        yield skipped("folder-disk", facts.path, "this system does not tell what the folder is mounted on")
        return
    if mount.is_network:
        yield fault(
            "folder-disk",
            facts.path,
            f"the folder is on a network file system ({mount.fs_type} at {mount.point}): locks and syncs there do not "
            "promise what nonces need, and another host may write at the same time",
            "use a folder on a local disk or a block volume of this host's own",
        )
    elif EMPTY_DIR in mount.root:
        yield fault(
            "folder-disk",
            facts.path,
            "the folder is a Kubernetes emptyDir: it is gone with the pod",
            "use a StatefulSet with one replica and a ReadWriteOncePod volume claim",
        )
    elif mount.is_ephemeral:
        yield warning(
            "folder-disk",
            facts.path,
            f"the folder is on {mount.fs_type} (at {mount.point}): its files are gone with the container or the boot, "
            "and nonces then start from the clock again",
            "mount a volume there (docker run -v sealane-data:… or a compose volume), or use a folder on a disk",
        )
    else:
        yield ok("folder-disk", facts.path, f"on a local file system ({mount.fs_type} at {mount.point})")

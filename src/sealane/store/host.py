"""Which host this is, towards an engine that leases lanes to hosts, and by which clocks it goes.

A host is a data folder on a running machine: the folder's own id, the boot, and where the folder lies. So two
processes of one folder are one host; a cloned volume, a restored snapshot and a machine after a reboot are another.
And so are processes of one folder that name their engine differently: each engine's lease has a record of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from sealane.errors import Unavailable
from sealane.store.clock import WaitingClock
from sealane.store.disk import Disk, write_all
from sealane.store.engine import Engine
from sealane.store.nonce_file import not_durable

ID_BYTES = 16
NAME_CHARS = 20
TAG_CHARS = 8
WAKE_PAUSE_S = 0.25

if TYPE_CHECKING:
    from sealane.store.hosted import HostedLane


class Host:
    """This host towards an engine: its name, its process, its clocks, and who is told of a lane that came into use."""

    def __init__(self, name: str, process: str, engine: Engine, clock: WaitingClock) -> None:
        self.name, self.process, self.engine, self.clock = name, process, engine, clock
        self.tend: Callable[[HostedLane], None] = lambda lane: None
        self.ends = False  # this process asks for nothing any more

    def await_turn(self, lane: str, limit_s: float) -> None:
        """Being woken is a hint: where it cannot be had, a pause does as well."""
        try:
            self.engine.await_turn(lane, self.name, limit_s)
        except Unavailable:
            self.clock.pause(min(limit_s, WAKE_PAUSE_S))

    def hands(self) -> Executor:
        """What hands one lane over in the background."""
        return ThreadPoolExecutor(1, thread_name_prefix="sealane-hand-over")


def lease_name(lane: str, engine: str) -> str:
    """The file of a lane's lease from the engine of an identity."""
    return f"{lane}.{hashlib.sha256(engine.encode()).hexdigest()[:TAG_CHARS]}.lease"


def host_name(disk: Disk, folder: Path, engine: str) -> str:
    """The name of the host that this folder makes here, for an engine; the folder's id is made where there is none."""
    path = folder / "host.id"
    try:
        disk.sync_folder(folder)
        fd = disk.open(path)
        try:
            disk.lock(fd)
            folder_id = disk.read(fd, 2 * ID_BYTES, 0)
            if len(folder_id) != 2 * ID_BYTES:
                folder_id = secrets.token_hex(ID_BYTES).encode()
                write_all(disk, fd, folder_id)
                disk.sync(fd)
        finally:
            disk.close(fd)
    except OSError as error:
        raise not_durable(error, path) from error
    place = folder.stat()
    told = f"{folder_id.decode(errors='replace')} {disk.boot_id()} {place.st_dev} {place.st_ino} {engine}"
    return hashlib.sha256(told.encode()).hexdigest()[:NAME_CHARS]

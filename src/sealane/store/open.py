"""Find a store by its URL."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sealane.errors import SettingsError
from sealane.store.engine import Engine
from sealane.store.memory import MemoryStore
from sealane.store.port import Store

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
_shared: dict[str, Store] = {}
_mutex = threading.Lock()


def _after_fork() -> None:
    global _mutex  # noqa: PLW0603 - the parent's other threads may hold the old one, and do not exist here
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


ENGINES = ("redis", "rediss", "postgresql", "postgres")


def open_store(url: str, *, env_floor: int = 0, folder: str | Path = "data") -> Store:
    """``file:<folder>``, a folder alone, ``memory:``, ``redis://…`` or ``postgresql://…``; one object a place.

    So all of a process share a place's lanes. ``env_floor`` is ``KRAKEN_LAST_NONCE``, for a folder without a good nonce
    file. ``folder`` is where this host keeps its own files while an engine leases it lanes. Raises SettingsError for
    any other URL; the message names what there is, and no password.
    """
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    kind = scheme[1] if scheme else "file"
    if kind == "memory" and not rest.strip("/"):
        return _share("memory", MemoryStore)
    if kind == "file" and not rest:
        raise SettingsError("SEALANE_STORE names no folder: write file:<folder>")
    if kind == "file":
        from sealane.store.file import FileStore

        try:
            folder = Path(rest[2:] if rest.startswith("///") else rest).expanduser()
            place = f"{folder.resolve()} {env_floor}"
        except (OSError, RuntimeError, ValueError) as error:
            raise SettingsError(f"the data folder {rest!r} cannot be: {error}; name another in DATA_DIR") from error
        return _share(place, lambda: FileStore(folder, env_floor=env_floor))
    if kind in ENGINES:
        return _hosted(url, kind, Path(folder), env_floor)
    raise SettingsError(
        f"SEALANE_STORE is a {kind}: URL: use file:<folder> (the default, in DATA_DIR), redis://…, postgresql://… for "
        "several hosts, or memory:"
    )


def _hosted(url: str, kind: str, folder: Path, env_floor: int) -> Store:
    from sealane.store.file import FileStore
    from sealane.store.hosted_store import HostedStore

    made = _redis if kind.startswith("redis") else _postgres
    place = f"{url} {folder.resolve()} {env_floor}"
    return _share(place, lambda: HostedStore(made(url), FileStore(folder, env_floor=env_floor)))


@contextmanager
def opened_apart(url: str) -> Iterator[Store]:
    """The store of a URL for a while, as a host of its own where an engine leases lanes to hosts.

    So it shares no lease with this machine's programs, in whatever folder theirs are kept. The lanes are to be closed
    before the end. Raises SettingsError as ``open_store`` does.
    """
    from sealane.store.file import FileStore
    from sealane.store.hosted_store import HostedStore

    scheme = _SCHEME.match(url)
    if not scheme or scheme[1] not in ENGINES:
        yield open_store(url)
        return
    with tempfile.TemporaryDirectory(prefix="sealane-host-") as folder:
        store = HostedStore((_redis if scheme[1].startswith("redis") else _postgres)(url), FileStore(Path(folder)))
        try:
            yield store
        finally:
            store.close()


def _redis(url: str) -> Engine:
    from sealane.store.redis.engine import RedisEngine

    return RedisEngine(url)


def _postgres(url: str) -> Engine:
    from sealane.store.postgres import open_engine

    return open_engine(url)


def _share(place: str, make: Callable[[], Store]) -> Store:
    with _mutex:
        if place not in _shared:
            _shared[place] = make()
        return _shared[place]

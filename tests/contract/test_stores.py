"""Every store, one suite."""

from pathlib import Path

from sealane.store.file import FileStore
from sealane.store.memory import MemoryStore
from sealane.testing import StoreContract


class TestMemoryStore(StoreContract):
    survives_restart = False
    between_processes = False
    keeps_durable = False

    def make_store(self, place: Path) -> MemoryStore:
        return MemoryStore()


class TestFileStore(StoreContract):
    def make_store(self, place: Path) -> FileStore:
        return FileStore(place)

    def make_broken_store(self, place: Path) -> FileStore:
        (place / "file").write_text("not a folder")
        return FileStore(place / "file" / "data")

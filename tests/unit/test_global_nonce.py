"""The process-wide functions: rows N7, N8, S4, D4, and the documents' own tests."""

import logging
import os
import re
import threading
import time
from pathlib import Path

import pytest

from sealane import NotDurable, SettingsError
from sealane.global_nonce import GlobalKrakenNonceManager


def nonce_file():
    return Path(os.environ["DATA_DIR"]) / "kraken_global_nonce.txt"


def test_one_manager_a_process(fresh_manager):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fresh_manager.get_global_nonce_manager())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(map(id, found))) == 1


def test_ten_nonces_rise_and_the_file_holds_each(fresh_manager):
    last = 0
    for _ in range(10):
        nonce = fresh_manager.get_global_kraken_nonce()
        assert nonce > last
        assert nonce_file().read_text() == str(nonce)
        assert len(str(nonce)) == 19
        last = nonce
    assert fresh_manager.get_kraken_nonce() > last


@pytest.mark.parametrize(("threads", "each"), [(10, 100), (20, 50)])
def test_threads_get_unique_nonces(fresh_manager, threads, each):
    found, barrier = [], threading.Barrier(threads)

    def draw():
        barrier.wait(10)
        mine = [fresh_manager.get_global_kraken_nonce() for _ in range(each)]
        assert mine == sorted(mine)
        found.extend(mine)

    workers = [threading.Thread(target=draw) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(found)) == threads * each


def test_a_new_manager_goes_on_above_the_file(fresh_manager, monkeypatch):
    before = fresh_manager.get_global_kraken_nonce()
    monkeypatch.setattr(fresh_manager, "_manager", None)
    assert fresh_manager.get_global_kraken_nonce() > before


def test_a_persisted_nonce_of_the_future_is_gone_on_from(fresh_manager):
    ahead = time.time_ns() + 10**15
    nonce_file().parent.mkdir()
    nonce_file().write_text(str(ahead))
    assert fresh_manager.get_global_kraken_nonce() == ahead + 1


def test_the_variable_counts_only_without_a_file(fresh_manager, monkeypatch, tmp_path):
    ahead = time.time_ns() + 10**15
    monkeypatch.setenv("KRAKEN_LAST_NONCE", str(ahead))
    assert fresh_manager.get_global_kraken_nonce() == ahead + 1
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "other"))
    nonce_file().parent.mkdir()
    nonce_file().write_text("1700000000000000000")
    assert GlobalKrakenNonceManager().get_nonce() < ahead


def test_statistics(fresh_manager):
    manager = fresh_manager.get_global_nonce_manager()
    nonces = [manager.get_nonce() for _ in range(3)]
    stats = fresh_manager.get_global_nonce_stats()
    assert stats["last_nonce"] == nonces[-1]
    assert stats["total_nonces_issued"] == 3
    assert stats["uptime_seconds"] > 0
    assert stats["nonces_per_second"] == pytest.approx(3 / stats["uptime_seconds"])
    assert abs(stats["initialized_at"] - time.time()) < 60
    assert stats["api_serialization_enabled"] is True
    assert set(stats) == set(fresh_manager.NonceStats.__annotations__)


def test_the_lock_is_reentrant_for_its_owner_and_shut_to_others(fresh_manager):
    lock = fresh_manager.get_kraken_api_lock()
    with lock, fresh_manager.get_kraken_api_lock():
        assert not elsewhere(lambda: lock.acquire(blocking=False))
        assert not elsewhere(lambda: lock.acquire(timeout=0.01))
    assert elsewhere(lambda: (lock.acquire(blocking=False), lock.release()))[0]


def elsewhere(work):
    """The result of ``work`` on a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    return found[0]


def test_serialisation_can_be_switched_off_with_a_warning(fresh_manager, caplog):
    manager = fresh_manager.get_global_nonce_manager()
    lock = manager.get_api_call_lock()
    try:
        manager.disable_api_serialization()
        assert "not recommended" in caplog.text
        assert not fresh_manager.get_global_nonce_stats()["api_serialization_enabled"]
        with lock:
            assert elsewhere(lambda: lock.acquire(blocking=False))
    finally:
        manager.enable_api_serialization()
    with lock:
        assert not elsewhere(lambda: lock.acquire(blocking=False))


def test_with_per_key_lanes_the_one_lock_is_refused_with_an_explanation(fresh_manager, monkeypatch):
    monkeypatch.setenv("SEALANE_LANES", "per-key")
    assert fresh_manager.get_global_kraken_nonce()
    with pytest.raises(SettingsError, match=r"SEALANE_LANES=per-key.*lane of its own"):
        fresh_manager.get_kraken_api_lock()


def test_the_documents_lines_at_a_first_and_a_second_start(fresh_manager, caplog):
    caplog.set_level(logging.INFO)
    fresh_manager.get_global_kraken_nonce()
    (now,) = re.findall(r"No persisted nonce found, initializing with current time: (\d{19})", caplog.text)
    line = "Global Kraken Nonce Manager initialized (persisted nonce: {}, API serialization: ENABLED)"
    assert line.format(now) in caplog.text, "one number, in both lines"
    caplog.clear()
    persisted = nonce_file().read_text()
    GlobalKrakenNonceManager()
    using = re.search(rf"Loaded persisted nonce: {persisted}, using: (\d+)", caplog.text)
    assert using
    assert int(using[1]) > int(persisted)
    assert line.format(persisted) in caplog.text


@pytest.mark.parametrize("content", ["", "rubbish", "\0" * 19, "-5", "99999999999999999999999"])
def test_a_bad_file_is_told_and_gone_on_from(fresh_manager, caplog, content):
    before = fresh_manager.get_global_kraken_nonce()
    nonce_file().write_text(content)
    manager = GlobalKrakenNonceManager()
    assert manager.get_nonce() > before
    assert nonce_file().read_text().isdigit()


def test_a_folder_that_cannot_be_written_issues_nothing(fresh_manager, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(NotDurable, match="DATA_DIR"):
        fresh_manager.get_global_kraken_nonce()
    assert "Could not persist nonce to disk" in caplog.text


def test_older_files_are_floors(fresh_manager):
    folder = nonce_file().parent
    folder.mkdir()
    ahead = time.time_ns() + 10**15
    (folder / "kraken_nonce.txt").write_text("1768670854079120")
    (folder / "kraken_nonce_daivon_frazier.txt").write_text(str(ahead))
    assert fresh_manager.get_global_kraken_nonce() == ahead + 1

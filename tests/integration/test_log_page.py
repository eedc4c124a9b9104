"""docs/logs.md against the log: each of its lines is brought about, and nothing else counts as shown."""

import io
import logging
import re
from pathlib import Path

import pytest

from sealane import Kraken, NotDurable
from sealane.broker import AccountType, KrakenBroker
from sealane.telemetry import log_to

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
LINES = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000"}


@pytest.fixture
def log():
    logger = logging.getLogger("sealane")
    before, stream = logger.level, io.StringIO()
    log_to(stream, {"SEALANE_LOG": "text"})
    yield stream
    log_to(None, {"SEALANE_LOG": "off"})
    logger.setLevel(before)


def healthy(manager):
    """A first start, and a second."""
    for _ in range(2):
        manager.GlobalKrakenNonceManager().get_nonce()
    with KrakenBroker(account_type=AccountType.MASTER, balance_cache_s=0) as broker:
        assert broker.connect()
    with KrakenBroker(account_type=AccountType.USER, account_name="daivon_frazier", balance_cache_s=0) as broker:
        assert broker.connect()


def doubtful(sim):
    """A broker that fails three times and is back, a refused nonce, an order whose answer is lost."""
    with KrakenBroker(account_type=AccountType.MASTER, balance_cache_s=0) as broker:
        broker.connect()
        sim.add_fault("error", error="EGeneral:Permission denied", methods=["Balance"], count=3)
        for _ in range(3):
            broker.get_account_balance()
        broker.get_account_balance()
        sim.add_fault("drop_after", methods=["AddOrder"], count=2)
        broker.place_order(**ORDER)
    sim.update_account("MASTER", nonce=2**62)
    with Kraken.from_env() as kraken, pytest.raises(Exception, match="quarantined"):
        kraken.private("Balance")


def spoiled(folder):
    """A nonce file that is rubbish, and then none that can be."""
    folder.mkdir()
    (folder / "kraken_global_nonce.txt").write_text("rubbish")
    with Kraken.from_env("daivon_frazier") as kraken:
        kraken.private("Balance")
    (folder / "kraken_global_nonce.txt").unlink()
    (folder / "kraken_global_nonce.txt").mkdir()
    with Kraken.from_env("daivon_frazier") as kraken, pytest.raises(NotDurable):
        kraken.private("Balance")


def test_each_line_of_the_page_is_logged(keys, fresh_manager, log, monkeypatch, tmp_path):
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.3")
    assert len(LINES) > 15
    healthy(fresh_manager)
    doubtful(keys)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "other"))
    spoiled(tmp_path / "other")
    text = log.getvalue()
    for line in LINES:
        form = ".+".join(re.escape(part) for part in line.split("…"))
        assert re.search(form, text), f"never logged: {line}\n{text}"
    loaded = re.search(r"Loaded persisted nonce: (\d+), using: (\d+)", text)
    assert int(loaded[1]) < int(loaded[2])

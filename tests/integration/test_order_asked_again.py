"""An order that is asked for again under its client order id has the end that it has, whatever hinders the asking."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sealane import Kraken
from sealane.core import placing
from sealane.core.order import NotPlaced, Placed
from sealane.global_nonce import get_kraken_api_lock
from sealane.simulator import Simulator

ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.001", "price": "1000", "client_order_id": "asked again"}


@pytest.fixture
def kraken(keys: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kraken]:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with Kraken.from_env(turn_wait_s=0) as client:
        yield client


@pytest.fixture
def placed(kraken: Kraken) -> Placed:
    first = kraken.place_order(**ORDER)
    assert isinstance(first, Placed)
    return first


def test_too_late_to_send_it_once_more(kraken: Kraken, placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "LEAD_S", 100.0)
    assert kraken.place_order(**ORDER) == placed
    other = kraken.place_order(**ORDER | {"client_order_id": "another"})
    assert isinstance(other, NotPlaced), "what was never sent and is too late is not placed"


def test_while_somebody_else_has_the_turn(kraken: Kraken, placed: Placed) -> None:
    lock = get_kraken_api_lock()
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(lock.acquire).result()
        try:
            assert kraken.place_order(**ORDER) == placed
            other = kraken.place_order(**ORDER | {"client_order_id": "another"})
            assert isinstance(other, NotPlaced), "what was never sent and has no turn is not placed"
        finally:
            elsewhere.submit(lock.release).result()

"""Answers that tell nothing, and answers that do: what the real client makes of each, against a simulated Kraken."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealane import InDoubt, Kraken, Quarantined, Refused, SealaneError, Unavailable
from sealane.simulator import Simulator
from sealane.transport.http import HttpTransport, Timeouts

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}
READ_LIMIT_S = 0.3
"""How long the clients of this file wait for an answer."""

LOST = [
    ("drop_before", {}, False),
    ("drop_after", {}, True),
    ("http_before", {"status": 503}, False),
    ("http_after", {"status": 502}, True),
    ("http_after", {"status": 520, "body": "error code: 520"}, True),
    ("http_after", {"status": 500, "body": '{"error":[],"result":{}}'}, True),
    ("html", {"applied": True}, True),
    ("half", {}, True),
    ("hang", {"hang_s": 60, "applied": True}, True),
    ("hang", {"hang_s": 60}, False),
    ("error", {"error": "EService:Unavailable"}, False),
    ("error", {"error": "EService:Busy"}, False),
    ("error", {"error": "EService:Deadline elapsed"}, False),
    ("error", {"error": "EGeneral:Internal error"}, False),
    ("error", {"error": "EDatabase:Internal error"}, False),
]
"""Faults that leave a request's end open: kind, fields, and whether the call was in truth carried out."""


@pytest.fixture
def kraken(
    into_environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=6) as simulator:
        into_environment(simulator, "user1")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        yield simulator


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This thread's pauses are noted, not made; what else lives in this process may pause as it likes."""
    made: list[float] = []
    mine, sleep = threading.get_ident(), time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: made.append(s) if threading.get_ident() == mine else sleep(s))
    return made


@pytest.fixture
def master(kraken: Simulator, pauses: list[float]) -> Iterator[Kraken]:
    transport = HttpTransport(kraken.url, Timeouts(connect_s=READ_LIMIT_S, read_s=READ_LIMIT_S))
    with Kraken.from_env(transport=transport) as client:
        yield client


def methods(kraken: Simulator) -> list[str]:
    return [entry["method"] for entry in kraken.journal()["entries"]]


def open_orders(kraken: Simulator) -> int:
    return int(kraken.state()["accounts"]["MASTER"]["open_orders"])


# --- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fields", "applied"), LOST)
def test_a_lost_order_is_in_doubt_and_sent_once(
    kraken: Simulator, master: Kraken, pauses: list[float], kind: str, fields: dict[str, object], applied: bool
) -> None:
    kraken.add_fault(kind, methods=["AddOrder"], **fields)
    with pytest.raises(InDoubt) as doubt:
        master.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder"]
    assert open_orders(kraken) == applied
    assert (doubt.value.method, str(doubt.value.nonce)) == ("AddOrder", kraken.journal()["entries"][0]["nonce"])
    assert pauses == []


def test_the_next_write_after_a_doubt_goes_out_behind_a_harmless_call(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("drop_after", methods=["AddOrder"])
    with pytest.raises(InDoubt):
        master.private("AddOrder", ORDER)
    master.private("AddOrder", ORDER)
    master.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder", "GetApiKeyInfo", "AddOrder", "AddOrder"]


def test_a_read_that_came_through_after_a_doubt_is_fence_enough(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("drop_after", methods=["AddOrder"])
    with pytest.raises(InDoubt):
        master.private("AddOrder", ORDER)
    master.private("Balance")
    master.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder", "Balance", "AddOrder"]


def test_a_doubt_fences_its_own_key_alone(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("drop_after", methods=["AddOrder"])
    with pytest.raises(InDoubt):
        master.private("AddOrder", ORDER)
    kraken.clear_journal()
    with Kraken.from_env("user1") as neighbour:
        neighbour.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder"]


def test_without_an_answer_to_the_harmless_call_the_order_is_not_sent(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("drop_after", methods=["AddOrder"])
    with pytest.raises(InDoubt):
        master.private("AddOrder", ORDER)
    kraken.add_fault("drop_before", methods=["GetApiKeyInfo"])
    with pytest.raises(Unavailable, match="was not sent"):
        master.private("AddOrder", ORDER)
    master.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder", "GetApiKeyInfo", "GetApiKeyInfo", "AddOrder"]
    assert open_orders(kraken) == 2


def test_a_late_order_cannot_execute_once_the_key_is_fenced(kraken: Simulator, master: Kraken) -> None:
    """The order travels for longer than anybody waited for it, and arrives behind the harmless call."""
    kraken.add_fault("delay", methods=["AddOrder"], delay_s=READ_LIMIT_S * 2)
    with pytest.raises(InDoubt):
        master.private("AddOrder", ORDER)
    master.private("AddOrder", ORDER)
    end = time.monotonic() + 10
    while kraken.journal()["entries"][0]["outcome"] == "pending":
        assert time.monotonic() < end, "the late order never arrived"
        threading.Event().wait(0.005)
    assert kraken.journal()["entries"][0]["error"] == "EAPI:Invalid nonce"
    assert open_orders(kraken) == 1


@pytest.mark.parametrize(("kind", "fields", "_applied"), LOST)
def test_a_lost_read_is_repeated(
    kraken: Simulator, master: Kraken, pauses: list[float], kind: str, fields: dict[str, object], _applied: bool
) -> None:
    kraken.add_fault(kind, methods=["Balance"], count=2, **fields)
    assert master.private("Balance")["ZUSD"] == "100000.0000"
    assert methods(kraken) == ["Balance"] * 3
    summary = kraken.journal()["summary"]
    assert (summary["refused_nonce"], summary["nonces_rose"]) == (0, True)
    assert sum(pauses) < 2


def test_a_read_that_is_lost_for_good_ends(kraken: Simulator, master: Kraken, pauses: list[float]) -> None:
    kraken.add_fault("drop_before", methods=["Balance"], probability=1)
    with pytest.raises(Unavailable, match="Balance"):
        master.private("Balance")
    assert methods(kraken) == ["Balance"] * 5
    assert sum(pauses) < 2


# --- nobody there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True], ids=["never connected", "connected before"])
@pytest.mark.parametrize("method", ["Balance", "AddOrder"])
def test_an_outage_is_unavailable_for_reads_and_writes(
    kraken: Simulator, master: Kraken, warm: bool, method: str
) -> None:
    if warm:
        master.private("Balance")
    kraken.stop()
    with pytest.raises(Unavailable):
        master.private(method, ORDER if method == "AddOrder" else {})
    kraken.start()
    master.private("AddOrder", ORDER)
    assert methods(kraken) == ["Balance"] * warm + ["AddOrder"], "nothing was in doubt, so nothing is fenced"


# --- Kraken's own errors ----------------------------------------------------------------------------------------------

REFUSALS = """
    EAPI:Invalid key · EAPI:Invalid signature · EGeneral:Permission denied · EGeneral:Unknown method
    EGeneral:Invalid arguments · EGeneral:Invalid arguments:volume · EAuth:Account temporary disabled
    EAuth:Account unconfirmed · EQuery:Unknown asset pair · EAccount:Invalid permissions · EFunding:Unknown withdraw key
    EAPI:Rate limit exceeded · EGeneral:Too many requests · EAuth:Rate limit exceeded
    EService:Market in cancel_only mode · EService:Market in post_only mode
    EOrder:Rate limit exceeded · EOrder:Orders limit exceeded · EOrder:Domain rate limit exceeded
    EOrder:Insufficient funds · EOrder:Order minimum not met · EOrder:Cost minimum not met
    EOrder:Tick size check failed · EOrder:Invalid price · EOrder:Post only order · EOrder:Unknown order
    EOrder:Reduce only:No position exists · EOrder:Duplicate cl_ord_id
"""
OPEN_ENDS = """
    EService:Unavailable · EService:Busy · EGeneral:Internal error · EDatabase:Internal error
    EService:Deadline elapsed · EService:Timeout · ENew:Something nobody has described
"""


def rows(text: str) -> list[str]:
    return [error.strip() for line in text.strip().splitlines() for error in line.split("·")]


def refused_with(kraken: Simulator, client: Kraken, error: str, method: str = "AddOrder") -> SealaneError:
    kraken.add_fault("error", methods=[method], error=error)
    with pytest.raises(SealaneError) as told:
        client.private(method, ORDER if method == "AddOrder" else {})
    assert methods(kraken) == [method], "sent once"
    return told.value


@pytest.mark.parametrize("method", ["AddOrder", "Balance"])
@pytest.mark.parametrize("error", rows(REFUSALS))
def test_a_refusal(kraken: Simulator, master: Kraken, error: str, method: str) -> None:
    told = refused_with(kraken, master, error, method)
    assert type(told) is Refused
    assert (told.errors, told.method, told.wait_s) == ((error,), method, None)


@pytest.mark.parametrize("error", rows(OPEN_ENDS))
def test_an_open_end_of_a_write(kraken: Simulator, master: Kraken, error: str) -> None:
    assert type(refused_with(kraken, master, error)) is InDoubt


@pytest.mark.parametrize("error", rows(OPEN_ENDS))
def test_an_open_end_of_a_read(kraken: Simulator, master: Kraken, error: str) -> None:
    kraken.add_fault("error", methods=["Balance"], error=error, count=5)
    with pytest.raises(Unavailable, match="Balance"):
        master.private("Balance")


@pytest.mark.parametrize("form", ["EService: Throttled: {}", "EService:Throttled: {}", "EService:Throttled:{}"])
def test_throttled_says_until_when(kraken: Simulator, master: Kraken, form: str) -> None:
    told = refused_with(kraken, master, form.format(int(time.time()) + 40))
    assert type(told) is Refused
    assert told.wait_s is not None
    assert 30 < told.wait_s <= 40


def test_a_lockout_rests_the_key_and_no_other(kraken: Simulator, master: Kraken) -> None:
    told = refused_with(kraken, master, "EGeneral:Temporary lockout")
    assert type(told) is Refused
    assert told.wait_s is not None
    assert told.wait_s >= 60
    with pytest.raises(Unavailable, match="locked"):
        master.private("Balance")
    assert methods(kraken) == ["AddOrder"]
    with Kraken.from_env("user1") as neighbour:
        assert neighbour.private("Balance")["ZUSD"] == "101000.0000"


def test_invalid_nonce_that_never_ends_is_quarantine(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("error", methods=["AddOrder"], error="EAPI:Invalid nonce", consume_nonce=False, probability=1)
    with pytest.raises(Quarantined):
        master.private("AddOrder", ORDER)
    assert methods(kraken) == ["AddOrder"] * 4
    assert open_orders(kraken) == 0


def test_a_warning_is_no_refusal(kraken: Simulator, master: Kraken) -> None:
    kraken.add_fault("error", methods=["Balance"], error="WGeneral:Danger ahead")
    assert master.private("Balance") is None
    assert methods(kraken) == ["Balance"]


def test_an_order_that_the_store_forgot_is_fenced_above_its_own_nonce(keys, tmp_path, monkeypatch):
    """As after an engine lost its last steps: the intent is known, and the lane stands below its nonce."""
    monkeypatch.setenv("SEALANE_VISIBILITY_LAG_S", "0.1")
    order = {"pair": "XBTUSD", "side": "buy", "volume": "0.01", "price": "1000", "client_order_id": "forgotten"}
    keys.add_fault("drop_after", methods=["AddOrder"], count=1)
    keys.add_fault("drop_before", count=1_000)
    with Kraken.from_env() as kraken:
        with pytest.raises(InDoubt):
            kraken.place_order(**order, timeout_s=0.5)
        [intent] = kraken.orders(in_doubt=True)
        ahead = replace(intent, nonce=intent.nonce + 600 * 10**9)
        kraken._session.intents.write(intent.id, ahead.stored(), sync=False)
        keys.clear_faults()
        kraken.await_order("forgotten", timeout_s=30)
        assert kraken.statistics().last_nonce > ahead.nonce

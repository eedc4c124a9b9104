"""Every kind of fault, seen by a plain HTTP client: what arrives, and whether the call was carried out."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sealane.simulator import Probe, Simulator

LIMIT_S = 10.0
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000.1"}


@pytest.fixture
def kraken() -> Iterator[Simulator]:
    with Simulator(accounts=2, seed=3) as simulator:
        yield simulator


@pytest.fixture
def probe(kraken: Simulator) -> Iterator[Probe]:
    with Probe(kraken.url, kraken.accounts[0]) as client:
        yield client


def open_orders(kraken: Simulator) -> int:
    return int(kraken.state()["accounts"]["MASTER"]["open_orders"])


def arrived(kraken: Simulator) -> int:
    return int(kraken.journal()["summary"]["requests"])


def last(kraken: Simulator) -> dict[str, Any]:
    entries: list[dict[str, Any]] = kraken.journal(limit=1)["entries"]
    return entries[-1]


def until(true: Callable[[], bool]) -> None:
    """Ask again and again, for a limited time: what happens after its client left has nobody else to tell of it."""
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        threading.Event().wait(0.002)


@pytest.mark.parametrize(("kind", "applied"), [("drop_before", False), ("drop_after", True)])
@pytest.mark.parametrize(("reset", "heard"), [(False, http.client.RemoteDisconnected), (True, ConnectionResetError)])
def test_a_dropped_connection(
    kraken: Simulator, probe: Probe, kind: str, applied: bool, reset: bool, heard: type[Exception]
) -> None:
    kraken.add_fault(kind, methods=["AddOrder"], reset=reset)
    with pytest.raises(ConnectionResetError) as caught:
        probe.private("AddOrder", nonce=5, **ORDER)
    assert caught.type is heard
    assert open_orders(kraken) == applied
    entry = last(kraken)
    assert (entry["outcome"], entry["fault"]) == ("accepted" if applied else "dropped", kind)
    assert entry["answered_ns"] is None
    assert probe.private("Balance", nonce=5)["error"] == (["EAPI:Invalid nonce"] if applied else [])


@pytest.mark.parametrize(("kind", "applied"), [("http_before", False), ("http_after", True)])
@pytest.mark.parametrize(("status", "text"), [(503, ""), (520, "error code: 520")])
def test_an_http_error(kraken: Simulator, probe: Probe, kind: str, applied: bool, status: int, text: str) -> None:
    kraken.add_fault(kind, methods=["AddOrder"], status=status, body=text)
    body, headers, path = probe.signed("AddOrder", **ORDER)
    assert probe.send("POST", path, body, headers) == (status, text.encode())
    assert open_orders(kraken) == applied


@pytest.mark.parametrize("applied", [False, True])
def test_an_html_page(kraken: Simulator, probe: Probe, applied: bool) -> None:
    kraken.add_fault("html", applied=applied)
    body, headers, path = probe.signed("AddOrder", **ORDER)
    status, text = probe.send("POST", path, body, headers)
    assert (status, text[:15]) == (502, b"<!DOCTYPE html>")
    assert open_orders(kraken) == applied


def test_half_an_answer(kraken: Simulator, probe: Probe) -> None:
    kraken.add_fault("half")
    with pytest.raises(http.client.IncompleteRead) as caught:
        probe.private("AddOrder", **ORDER)
    assert caught.value.partial.startswith(b'{"error":[],')
    assert open_orders(kraken) == 1
    assert last(kraken)["answered_ns"] is None


@pytest.mark.parametrize("applied", [False, True])
def test_an_answer_that_never_comes(kraken: Simulator, applied: bool) -> None:
    kraken.add_fault("hang", applied=applied)
    with Probe(kraken.url, kraken.accounts[0], timeout_s=0.1) as impatient, pytest.raises(TimeoutError):
        impatient.private("AddOrder", **ORDER)
    until(lambda: arrived(kraken) == 1 and kraken.journal()["summary"]["in_flight"] == 0)
    assert open_orders(kraken) == applied
    assert (last(kraken)["fault"], last(kraken)["answered_ns"]) == ("hang", None)


def test_a_hang_ends_by_hanging_up(kraken: Simulator, probe: Probe) -> None:
    kraken.add_fault("hang", hang_s=0.05)
    with pytest.raises(http.client.RemoteDisconnected):
        probe.private("Balance")


@pytest.mark.parametrize(("consume", "kept"), [(True, "accepted"), (False, "refused")])
def test_an_error_string(kraken: Simulator, probe: Probe, consume: bool, kept: str) -> None:
    kraken.add_fault("error", error="EService:Busy", consume_nonce=consume)
    assert probe.private("AddOrder", nonce=5, **ORDER) == {"error": ["EService:Busy"]}
    assert open_orders(kraken) == 0
    assert kraken.state()["accounts"]["MASTER"]["highest_nonce"] == ("5" if consume else "0")
    assert (last(kraken)["outcome"], last(kraken)["error"]) == (kept, "EService:Busy")


def test_an_error_that_uses_up_the_nonce_comes_after_the_checks(kraken: Simulator, probe: Probe) -> None:
    probe.private("Balance", nonce=5)
    kraken.add_fault("error", error="EService:Busy")
    assert probe.private("Balance", nonce=5)["error"] == ["EAPI:Invalid nonce"]


def test_a_delayed_call_is_overtaken_and_then_refused(kraken: Simulator, probe: Probe) -> None:
    """The fence: a late request cannot be carried out once its key has accepted a higher nonce."""
    kraken.add_fault("delay", methods=["AddOrder"], delay_s=0.5)
    with Probe(kraken.url, kraken.accounts[0], timeout_s=0.05) as impatient, pytest.raises(TimeoutError):
        impatient.private("AddOrder", nonce=5, **ORDER)
    until(lambda: arrived(kraken) == 1 and kraken.journal()["summary"]["in_flight"] == 0)
    assert last(kraken)["outcome"] == "pending"
    assert probe.private("Balance", nonce=6)["error"] == []
    until(lambda: kraken.journal()["entries"][0]["outcome"] != "pending")
    ghost = kraken.journal()["entries"][0]
    assert (ghost["outcome"], ghost["error"], ghost["answered_ns"]) == ("refused", "EAPI:Invalid nonce", None)
    assert open_orders(kraken) == 0
    assert kraken.journal()["summary"]["max_overlap"] == 1  # its client had left before the next call came


def test_a_delayed_call_is_carried_out_though_its_client_left(kraken: Simulator) -> None:
    kraken.add_fault("delay", methods=["AddOrder"], delay_s=0.3)
    with Probe(kraken.url, kraken.accounts[0], timeout_s=0.02) as impatient, pytest.raises(TimeoutError):
        impatient.private("AddOrder", **ORDER)
    assert open_orders(kraken) == 0
    until(lambda: open_orders(kraken) == 1)


def test_rules_by_account_and_for_public_methods(kraken: Simulator, probe: Probe) -> None:
    kraken.add_fault("error", error="EService:Unavailable", account="user1", count=2)
    kraken.add_fault("http_before", methods=["Time"], status=500)
    assert probe.private("Balance")["error"] == []
    with Probe(kraken.url, kraken.accounts[1]) as other:
        assert other.private("Balance")["error"] == ["EService:Unavailable"]
    assert probe.send("GET", "/0/public/Time") == (500, b"")
    assert probe.send("GET", "/0/public/Time")[0] == 200
    assert [rule["remaining"] for rule in kraken.faults()] == [1, 0]
    kraken.clear_faults()
    assert kraken.faults() == []


def test_probability_hits_some_calls(kraken: Simulator, probe: Probe) -> None:
    kraken.add_fault("error", error="EService:Busy", probability=0.5)
    hits = [bool(probe.private("Balance")["error"]) for _ in range(40)]
    assert 5 < sum(hits) < 35


def test_a_drop_reaches_the_client_although_a_forked_child_holds_the_socket(kraken: Simulator) -> None:
    """A fork after the server started copies its sockets; closing one copy alone would tell the client nothing."""
    kraken.add_fault("drop_after", methods=["Balance"])
    host, port = kraken.url.removeprefix("http://").split(":")
    with Probe(kraken.url, kraken.accounts[0]) as probe, socket.create_connection((host, int(port)), 5) as client:
        body, headers, path = probe.signed("Balance")
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"POST {path} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n".encode()
        client.sendall(start)
        until(lambda: len(_server_sockets(kraken)) == 1)
        copy = _server_sockets(kraken)[0].dup()
        client.sendall(body)
        assert client.recv(1000) == b""
        copy.close()


def _server_sockets(kraken: Simulator) -> list[socket.socket]:
    import gc

    from sealane.simulator.http import Connection

    found = [thing for thing in gc.get_objects() if isinstance(thing, Connection) and thing.transport is not None]
    sockets = [thing.transport.get_extra_info("socket") for thing in found if not thing.transport.is_closing()]
    port = int(kraken.url.rpartition(":")[2])
    return [each for each in sockets if each.fileno() >= 0 and each.getsockname()[1] == port]

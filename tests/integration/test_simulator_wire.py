"""HTTP as such: keep-alive, chunks, pipelines, what is too large, who hangs up."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from sealane.simulator import Probe, Simulator

GET_TIME = b"GET /0/public/Time HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def kraken() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def wire(kraken: Simulator) -> Iterator[socket.socket]:
    host, port = kraken.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as client:
        yield client


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def test_a_connection_is_kept(kraken: Simulator) -> None:
    connection = http.client.HTTPConnection(kraken.url.removeprefix("http://"), timeout=10)
    used = set()
    for _ in range(3):
        connection.request("GET", "/0/public/Time")
        connection.getresponse().read()
        used.add(connection.sock)
    connection.close()
    assert len(used) == 1


def test_a_chunked_body_is_signed_as_a_whole(kraken: Simulator) -> None:
    with Probe(kraken.url, kraken.accounts[0]) as probe:
        body, headers, path = probe.signed("Balance", nonce=100)
    connection = http.client.HTTPConnection(kraken.url.removeprefix("http://"), timeout=10)
    connection.request("POST", path, iter([body[:3], body[3:]]), headers, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["error"] == []
    connection.close()


def test_many_pipelined_requests_are_answered_in_turn(wire: socket.socket) -> None:
    wire.sendall(GET_TIME * 1500 + GET_TIME.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert read_to_end(wire).count(b"HTTP/1.1 200 OK") == 1501


def test_a_request_in_single_bytes(wire: socket.socket) -> None:
    for n in range(len(GET_TIME)):
        wire.sendall(GET_TIME[n : n + 1])
    assert wire.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_connection_close_and_http_1_0_are_honoured(kraken: Simulator, wire: socket.socket) -> None:
    wire.sendall(b"GET /0/public/Time HTTP/1.0\r\n\r\n")
    assert b'"unixtime"' in read_to_end(wire)


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(wire: socket.socket) -> None:
    wire.sendall(b"POST /sim/reset HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert wire.recv(1000).startswith(b"HTTP/1.1 100")
    wire.sendall(b"{}")
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_refused(wire: socket.socket) -> None:
    wire.sendall(b"hello\r\n\r\n")
    assert read_to_end(wire).startswith(b"HTTP/1.1 400")


def test_a_body_that_is_too_large_is_refused(wire: socket.socket) -> None:
    wire.sendall(b"POST /0/private/Balance HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    received = b""
    try:
        for _ in range(40):
            wire.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
        received = read_to_end(wire)
    except ConnectionError:  # it hung up while we were still sending
        return
    assert received.startswith(b"HTTP/1.1 413")


def test_a_head_request_gets_no_body(wire: socket.socket) -> None:
    wire.sendall(b"HEAD /0/public/Time HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert read_to_end(wire).endswith(b"\r\n\r\n")


def test_a_client_that_leaves_in_the_middle_hurts_nobody(kraken: Simulator, wire: socket.socket) -> None:
    wire.sendall(b"POST /0/private/Balance HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nnonce")
    wire.close()
    with Probe(kraken.url, kraken.accounts[0]) as probe:
        assert probe.public("Time")["error"] == []

"""Who connects and says nothing, or half of something, takes nobody's place; over TLS no more than without."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from contextlib import ExitStack, suppress

import pytest
from test_gateway_serve import certificate  # noqa: F401 - a fixture

from sealane.gateway import wire
from sealane.gateway.server import Told, answer, listen

LIMIT_S = 10
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


async def echo(scope, receive, send):
    """Answers with the body, once it is whole."""
    body, message = b"", {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def listening():
    """Begins to serve ``echo``; gives the address."""
    with ExitStack() as stack:

        def begin(tls=None):
            loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
            listener = stack.enter_context(listen("127.0.0.1", 0))
            work = answer(echo, listener, ready.set, stop, Told(tls=tls))
            thread = threading.Thread(target=lambda: loop.run_until_complete(work))
            thread.start()
            assert ready.wait(LIMIT_S)
            stack.callback(loop.close)
            stack.callback(thread.join, LIMIT_S)
            stack.callback(loop.call_soon_threadsafe, stop.set)
            return listener.getsockname()

        yield begin


def tls(certificate):  # noqa: F811
    return tuple(map(str, certificate))


def asked(address, cert):
    """An answer over TLS."""
    context = ssl.create_default_context(cafile=str(cert))
    with (
        socket.create_connection(address, timeout=LIMIT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(REQUEST + b"half")
        return connection.recv(12)


def closed(connection):
    """Whether the other side let go."""
    with suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def test_who_shakes_no_hands_is_hung_up_on(listening, certificate, monkeypatch):  # noqa: F811
    monkeypatch.setattr(wire, "REQUEST_LIMIT_S", 0.1)
    with socket.create_connection(listening(tls(certificate)), timeout=LIMIT_S) as silent:
        assert closed(silent)


def test_silent_connections_over_tls_are_few_and_keep_nobody_out(listening, certificate, monkeypatch):  # noqa: F811
    monkeypatch.setattr(wire, "HANDSHAKES_MAX", 4)
    monkeypatch.setattr(wire, "REQUEST_LIMIT_S", 60)
    address = listening(tls(certificate))
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(address, timeout=LIMIT_S)) for _ in range(40)]
        assert asked(address, certificate[0]) == b"HTTP/1.1 200"
        assert all(closed(one) for one in silent[:36])
        assert len(os.listdir("/proc/self/fd")) <= before + len(silent) + 2 * wire.HANDSHAKES_MAX


def test_who_has_shaken_hands_is_no_longer_counted_among_the_silent(listening, certificate, monkeypatch):  # noqa: F811
    monkeypatch.setattr(wire, "HANDSHAKES_MAX", 2)
    address, context = listening(tls(certificate)), ssl.create_default_context(cafile=str(certificate[0]))
    with ExitStack() as stack:
        spoken = []
        for _ in range(6):
            plain = stack.enter_context(socket.create_connection(address, timeout=LIMIT_S))
            spoken.append(stack.enter_context(context.wrap_socket(plain, server_hostname="localhost")))
        for connection in spoken:
            connection.sendall(REQUEST + b"half")
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_halves_of_requests_make_room_for_whole_ones(listening, monkeypatch):
    monkeypatch.setattr(wire, "connections_max", lambda: 4)
    address = listening()
    with ExitStack() as stack:
        halves = []
        for _ in range(12):
            halves.append(stack.enter_context(socket.create_connection(address, timeout=LIMIT_S)))
            halves[-1].sendall(REQUEST + b"ha")
        with socket.create_connection(address, timeout=LIMIT_S) as whole:
            whole.sendall(REQUEST + b"half")
            assert whole.recv(12) == b"HTTP/1.1 200"
        halves[-1].sendall(b"lf")
        assert halves[-1].recv(12) == b"HTTP/1.1 200"

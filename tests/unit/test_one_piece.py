"""A request leaves in one piece, and so does an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpcore2 import AsyncNetworkStream

from sealane.gateway.wire import OnePiece
from sealane.transport.one_piece import HELD_BYTES_MAX, OnePieceStream


class Wire(AsyncNetworkStream, asyncio.Transport):
    """Notes what it is told to do."""

    def __init__(self, trouble: Exception | None = None) -> None:
        asyncio.Transport.__init__(self)
        self.done: list[Any] = []
        self._trouble = trouble

    def noted(self, what: Any) -> None:
        self.done.append(what)
        if self._trouble is not None:
            raise self._trouble


class Stream(Wire):
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # type: ignore[override]
        self.noted((buffer, timeout))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.noted("read")
        return b"answer"

    async def aclose(self) -> None:
        self.noted("closed")

    async def start_tls(self, *given: Any) -> AsyncNetworkStream:
        self.noted(given)
        return self

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return name


class Connection(Wire):
    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.noted(data)

    def close(self) -> None:
        self.noted("closed")

    def abort(self) -> None:
        self.noted("aborted")


def test_a_request_leaves_when_its_answer_is_asked_for() -> None:
    async def run() -> None:
        await stream.write(b"head ", 1.0)
        await stream.write(b"body", 1.0)
        assert wire.done == []
        assert [await stream.read(10, 2.0), await stream.read(10, 2.0)] == [b"answer", b"answer"]

    wire = Stream()
    stream = OnePieceStream(wire)
    asyncio.run(run())
    assert wire.done == [(b"head body", 2.0), "read", "read"]


def test_trouble_in_writing_is_told_where_the_answer_is_read() -> None:
    async def run() -> None:
        await stream.write(b"x")
        with pytest.raises(OSError, match="reset"):
            await stream.read(10)

    stream = OnePieceStream(Stream(OSError("reset")))
    asyncio.run(run())


def test_what_is_large_is_not_held_back_and_a_closed_connection_sends_nothing() -> None:
    async def run() -> None:
        await stream.write(bytes(HELD_BYTES_MAX + 1))
        await stream.write(b"more")
        await stream.aclose()

    wire = Stream()
    stream = OnePieceStream(wire)
    asyncio.run(run())
    assert [len(wire.done[0][0]), *wire.done[1:]] == [HELD_BYTES_MAX + 1, "closed"]
    assert stream.get_extra_info("is_readable") == "is_readable"


def test_it_is_so_over_tls_too() -> None:
    wire = Stream()
    over_tls = asyncio.run(OnePieceStream(wire).start_tls(None, "kraken", 1.0))  # type: ignore[arg-type]
    assert isinstance(over_tls, OnePieceStream)
    assert wire.done == [(None, "kraken", 1.0)]


@pytest.mark.parametrize(
    ("then", "done"),
    [
        (lambda one: None, [b"head body"]),
        (lambda one: one.close(), [b"head body", "closed"]),
        (lambda one: one.abort(), ["aborted"]),
    ],
)
def test_an_answer_leaves_when_the_loop_turns_or_the_connection_is_closed(then: Any, done: list[Any]) -> None:
    async def run() -> None:
        one = OnePiece(wire, asyncio.get_running_loop())
        one.write(b"head ")
        one.write(b"body")
        assert wire.done == []
        then(one)
        await asyncio.sleep(0)

    wire = Connection()
    asyncio.run(run())
    assert wire.done == done

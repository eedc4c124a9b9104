"""The gateway's dead-man switches: what is due is fired once, whatever breaks around it."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from sealane.errors import LaneBusy, NotDurable
from sealane.gateway.api import switches
from sealane.gateway.api.envelope import result
from sealane.gateway.api.switches import Switches
from sealane.gateway.keys.ledger import Ledger
from sealane.testing.clock import FakeClock

LIMIT_S = 5


class Scene:
    """Two keys of two accounts, each with a switch of a second; ``cancelled`` are the keys whose orders went."""

    def __init__(self, folder):
        self.clock, self.cancelled, self.lines, self.in_the_way = FakeClock(), [], [], {}
        self.unclear = set()
        self.ledger = Ledger(folder / "orders.db")
        self.keys = (SimpleNamespace(name="ann", account="A"), SimpleNamespace(name="bob", account="B"))
        self.calls = SimpleNamespace(
            ring=SimpleNamespace(all=lambda: self.keys, trouble=""),
            accounts={name: SimpleNamespace(forwarder=name) for name in ("A", "B")},
            ledger=self.ledger,
            cancels=SimpleNamespace(cancel_all=self.cancel_all, is_unclear=lambda key, _: key in self.unclear),
            audit=SimpleNamespace(note=self.note),
        )
        for key in ("ann", "bob"):
            self.arm(key, 1)

    def arm(self, key, after_s):
        self.ledger.arm(key, self.clock.wall_ns() / 1e9 + after_s)

    async def cancel_all(self, forwarder, key, now_s):
        self.cancelled.append(key)
        await self.in_the_way.get(key, _nothing)()
        return result({"count": 2})

    def note(self, **fields):
        self.lines.append(fields)

    @contextlib.asynccontextmanager
    async def looking(self):
        """Switches that look all the while."""
        watched = Switches(lambda: self.calls, self.clock)
        watched.begin()
        try:
            yield
        finally:
            await watched.close()

    async def until(self, done):
        async with asyncio.timeout(LIMIT_S):
            while not done():
                await asyncio.sleep(0)

    async def looks(self, times=50):
        for _ in range(times):
            await asyncio.sleep(0)


async def _nothing():
    pass


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(switches, "PAUSE_S", 0)
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def test_a_firing_is_written_down(scene):
    async def run():
        async with scene.looking():
            await scene.looks()
            assert scene.cancelled == []
            scene.clock.advance(1)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert sorted(scene.cancelled) == ["ann", "bob"]
    line = next(line for line in scene.lines if line["key"] == "ann")
    assert (line["event"], line["account"], line["count"]) == ("dead man", "A", 2)


def test_it_stays_set_while_an_order_of_its_key_may_be_placed_yet(scene):
    async def run():
        async with scene.looking():
            scene.unclear.add("ann")
            scene.clock.advance(1)
            await scene.until(lambda: list(scene.ledger.armed()) == ["ann"])
            await scene.looks()
            scene.unclear.clear()
            scene.clock.advance(switches.RETRY_S)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert scene.cancelled.count("ann") == 2


def test_it_fires_while_the_keys_cannot_be_read(scene):
    async def run():
        async with scene.looking():
            await scene.looks()
            scene.keys = ()
            scene.clock.advance(1)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert sorted(scene.cancelled) == ["ann", "bob"]


def test_of_a_key_that_is_not_known_it_stays_set(scene):
    async def run():
        keys, scene.keys = scene.keys, ()
        async with scene.looking():
            scene.clock.advance(1)
            await scene.looks()
            assert set(scene.ledger.armed()) == {"ann", "bob"}
            scene.keys = keys
            scene.clock.advance(switches.RETRY_S)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())


def test_an_account_that_hangs_keeps_no_other_waiting(scene):
    async def run():
        hang = asyncio.Event()
        scene.in_the_way["ann"] = hang.wait
        async with scene.looking():
            scene.clock.advance(1)
            await scene.until(lambda: set(scene.ledger.armed()) == {"ann"})
            hang.set()
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert scene.cancelled.count("ann") == 1


def test_one_that_is_set_anew_while_it_fires_stays(scene):
    async def run():
        async def again():
            scene.arm("ann", 60)

        scene.in_the_way["ann"] = again
        async with scene.looking():
            scene.clock.advance(1)
            await scene.until(lambda: set(scene.ledger.armed()) == {"ann"})
            await scene.looks()

    asyncio.run(run())
    assert scene.ledger.armed() == {"ann": scene.clock.wall_ns() / 1e9 + 60}


@pytest.mark.parametrize("trouble", [LaneBusy("busy"), RuntimeError("a fault")])
def test_what_breaks_off_is_tried_again(scene, trouble):
    async def run():
        async def broken():
            raise trouble

        scene.in_the_way["ann"] = broken
        async with scene.looking():
            scene.clock.advance(1)
            await scene.until(lambda: set(scene.ledger.armed()) == {"ann"})
            await scene.looks()
            assert scene.cancelled.count("ann") == 1, "not at every look"
            del scene.in_the_way["ann"]
            scene.clock.advance(switches.RETRY_S)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert [line["outcome"] for line in scene.lines if line["key"] == "ann"] == ["unavailable", "answered"]


@pytest.mark.parametrize("verb", ["due", "fired"])
def test_a_ledger_that_fails_ends_nothing(scene, monkeypatch, verb):
    """And what was cancelled already is not cancelled once more: orders may have been placed since."""

    def full(*_):
        raise NotDurable("disk full")

    async def run():
        async with scene.looking():
            with monkeypatch.context() as broken:
                broken.setattr(Ledger, verb, full)
                scene.clock.advance(1)
                await scene.looks()
            assert len(scene.ledger.armed()) == 2
            scene.clock.advance(switches.RETRY_S)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert sorted(scene.cancelled) == ["ann", "bob"]


def test_it_fires_though_it_cannot_be_written_down(scene):
    def full(**_):
        raise NotDurable("disk full")

    async def run():
        scene.calls.audit.note = full
        async with scene.looking():
            scene.clock.advance(1)
            await scene.until(lambda: not scene.ledger.armed())

    asyncio.run(run())
    assert sorted(scene.cancelled) == ["ann", "bob"]

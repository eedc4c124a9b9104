"""``kill -9`` at every step of an order: its intent, its record, the wire, its end. A living sibling finds out.

The exchange's own book is the judge: what the log of intents says in the end is what stands there, and nothing stands
there twice.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crew import Crew, Worker, environment

from sealane.core.order import Intent, Placed
from sealane.simulator import Simulator
from sealane.store.file import FileStore

pytestmark = pytest.mark.kill

ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.001", "price": "1000"}
RESOLVED_S = 20.0
ARRIVE_S = 5.0
STEPS_MIN = 40


class Scene:
    """One folder, one sibling for the whole test, one victim a step."""

    def __init__(self, kraken: Simulator, crew: Crew, folder: Path) -> None:
        self.kraken, self.crew = kraken, crew
        self.log = FileStore(folder).intents()
        self.sibling = crew.start("obey")
        assert "result" in self.sibling.order("call", method="Balance")

    def victim(self) -> Worker:
        victim = self.crew.start("obey")
        assert "result" in victim.order("call", method="Balance")
        return victim

    def wait_until(self, done, what: str, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not done():
            assert time.monotonic() < end, what
            self.kraken.state()

    def wait_for_arrivals(self, sent: int) -> None:
        """What a victim has sent lies in a socket for a moment."""
        self.wait_until(lambda: len(self.kraken.journal()["entries"]) >= sent, "lost on the way", ARRIVE_S)

    def in_book(self, name: str) -> int:
        orders = self.kraken.state()["accounts"]["MASTER"]["orders"]
        return sum(row.get("cl_ord_id") == name for row in orders.values())

    def judge(self, name: str, steps: list[str]) -> str:
        """What the log says of an order, which must be what the book shows."""
        self.wait_until(lambda: not self.log.unsettled(), f"left in doubt after {steps[-1]}", RESOLVED_S)
        stored = self.log.read(name)
        if stored is None:
            assert self.in_book(name) == 0, steps
            return "no intent"
        end = Intent.loaded(stored).ends[name]
        assert self.in_book(name) == isinstance(end, Placed), (end, steps)
        return type(end).__name__


@pytest.fixture
def scene(kraken: Simulator, tmp_path: Path) -> Iterator[Scene]:
    with Crew(environment(kraken, tmp_path) | {"SEALANE_VISIBILITY_LAG_S": "0.1"}) as crew:
        yield Scene(kraken, crew, tmp_path)


@pytest.mark.parametrize("fault", [None, "drop_before", "drop_after"])
def test_kill_at_every_step_of_an_order(scene: Scene, fault: str | None) -> None:
    step, seen, ends = 0, set(), []
    stride = 1 if fault is None else 3  # with a lost answer there are twice the steps
    while True:
        step += stride
        victim, name = scene.victim(), f"step {step}"
        scene.kraken.clear_journal()
        if fault is not None:
            scene.kraken.clear_faults()
            scene.kraken.add_fault(fault, methods=["AddOrder"])
        stopped = victim.order("order", order={**ORDER, "client_order_id": name}, stop_at=step)
        steps = stopped["steps"]
        seen |= set(steps)
        scene.wait_for_arrivals(steps.count("sent"))
        if "step" not in stopped:
            assert stopped["result"]["client_order_id"] == name, stopped
            ends.append(scene.judge(name, steps))
            break
        victim.kill()
        assert "result" in scene.sibling.order("call", method="Balance"), steps
        ends.append(scene.judge(name, steps))
    assert step > STEPS_MIN
    assert {"KeepIntent", "KeepIntent done", "Record", "half sent", "sent", "received", "Leave"} <= seen
    assert {"no intent", "Placed", "NotPlaced"} == set(ends)
    assert scene.kraken.journal()["summary"]["nonces_rose"]

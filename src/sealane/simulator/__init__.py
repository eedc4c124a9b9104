"""A Kraken Spot REST exchange in a box, to judge clients by: strict about nonces, good at going wrong.

It speaks Kraken's own protocol on `http://127.0.0.1`, so any client works against it when its base address is
changed. It imports nothing from the rest of the project: what it judges cannot be what it is made of.

    with Simulator(accounts=2) as kraken:
        kraken.url, kraken.accounts[0].api_key, kraken.accounts[0].api_secret
        kraken.add_fault("drop_after", methods=["AddOrder"])
        ...
        kraken.journal()["summary"]["max_overlap"]

What nobody documents about Kraken is a field of `Switches`; every error text and number has its source in
`sealane.simulator.facts`. With `tier="pro"` (or intermediate, starter) it keeps Kraken's rate limits. Its clock can be
frozen and moved, its state saved and loaded, and `audit()` lets it judge itself. With `volatility` its prices move.

What it does *not* reproduce stands in one place, `docs/simulator-limits.md`, with the table of the switches.
What `/sim/` takes is in `control_calls.py`, and `GET /sim/` answers it.
"""

from sealane.simulator.accounts import SimAccount
from sealane.simulator.audit import AuditFailed
from sealane.simulator.clock import Clock
from sealane.simulator.exchange import Exchange
from sealane.simulator.facts import Switches
from sealane.simulator.fault_fields import ControlError
from sealane.simulator.probe import Direct, Probe
from sealane.simulator.server import Simulator, serve
from sealane.simulator.switching import read_words

__all__ = [
    "AuditFailed",
    "Clock",
    "ControlError",
    "Direct",
    "Exchange",
    "Probe",
    "SimAccount",
    "Simulator",
    "Switches",
    "read_words",
    "serve",
]

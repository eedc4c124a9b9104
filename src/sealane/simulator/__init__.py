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
frozen and moved, its state saved and loaded, and `audit()` lets it judge itself.

What it does *not* reproduce:

- limits of public calls and of addresses, Kraken's domain limits; what a WebSocket client would be charged;
- an order book, partial fills, moving prices: prices stand still, orders fill whole at once or rest for ever
  (`expiretm` is kept but nothing expires; of `timeinforce` only IOC and FOK differ from GTC);
- order types other than market and limit, margin, conditional close, `viqc`, `fcib`, icebergs: all refused, never
  ignored; open positions are always none;
- batches, amend, edit, CancelAll, the cancel-all timer, trades history, ledgers, trade volume, exports, funding, earn,
  sub-accounts, WebSockets: `EGeneral:Unknown method` (a token is given out, but nothing takes it);
- public Depth, OHLC, Trades, Spread; public calls over POST; a Ticker that changes;
- several keys of one account, key expiry, IP allow lists, a rolling `otp` (an account may have a fixed one);
- live pair tables (the numbers are of the right size only);
- TLS, HTTP/2, compression; it never closes an idle connection by itself.
"""

from sealane.simulator.accounts import SimAccount
from sealane.simulator.audit import AuditFailed
from sealane.simulator.clock import Clock
from sealane.simulator.exchange import Exchange
from sealane.simulator.facts import Switches
from sealane.simulator.fault_fields import ControlError
from sealane.simulator.probe import Direct, Probe
from sealane.simulator.server import Simulator, serve

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
    "serve",
]

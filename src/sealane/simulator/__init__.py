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

What it does *not* reproduce:

- limits of public calls and of addresses, Kraken's domain limits; what a WebSocket client would be charged;
- real prices: they are made up from the seed and stand still unless `volatility` is given (while they stand, only
  another account's order fills one that rests); the index price is the last price, and nobody's trade moves either;
  what the books hold besides the accounts' orders is there again for every order that comes;
- margin, leverage, positions, `settle-position`, conditional close (`close[…]`): refused, never ignored; `reduce_only`
  finds no position;
- fee tiers: a fill costs the fee of the lowest one, however large the volume;
- `consolidate_taker` (each fill is a trade of its own), `rebase_multiplier`;
- that a state such as `cancel_only` stops the matching: it refuses calls, what rests already is filled all the same;
- ledger entries of other things than trades: an account's first balances come from nowhere;
- exports, funding, earn, sub-accounts, WebSockets: `EGeneral:Unknown method` (a token is given out, but nothing takes
  it); public calls over POST;
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

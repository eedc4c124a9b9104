"""What the store alone tells, where no gateway answers: lanes, keys, counters, orders in doubt. Nobody is asked.

Balances are not in the store, and what went through a gateway is that gateway's own knowledge: both are not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from sealane.client.accounts import account_names
from sealane.client.settings import Settings
from sealane.core.nonce import NS_PER_S
from sealane.errors import Unavailable
from sealane.gateway.fleet import Fleet
from sealane.gateway.health import judged_by_store
from sealane.gateway.sightings import Sighting
from sealane.gateway.state import State
from sealane.gateway.statistics import statistics
from sealane.gateway.statistics_form import STORE, Document
from sealane.gateway.tallies import Tally
from sealane.gateway.traffic import TrafficSeen
from sealane.runtime.clock import SYSTEM_CLOCK, Clock


class _Unasked:
    """In the place of a broker, where none is to be asked."""

    def connect(self) -> bool:
        return False

    def get_account_balance_detailed(self) -> NoReturn:
        raise Unavailable("nobody is asked here")

    def ask_permissions(self) -> NoReturn:
        raise Unavailable("nobody is asked here")

    def figures(self) -> NoReturn:
        raise Unavailable("nobody is asked here")

    def close(self) -> None:
        pass


class StoreReader:
    """The accounts and the store of one environment, to be read again and again.

    Raises Unavailable where there is nothing to read: no account, or a store that no lane was ever made in (reading
    makes none); SettingsError where a variable is wrong.
    """

    def __init__(self, environ: Mapping[str, str], clock: Clock = SYSTEM_CLOCK) -> None:
        if not account_names(environ):
            raise Unavailable("this environment holds no key of Kraken, so there is no store to read either")
        if not Settings.from_env(environ).open().lanes():
            raise Unavailable("the store of this environment holds no lane: nothing has called Kraken with it yet")
        self._fleet = Fleet(environ, lambda _: _Unasked(), clock)

    def read(self) -> Document:
        """The document of now."""
        fleet, clock = self._fleet, self._fleet.clock
        now_ns, now_s = clock.boot_ns(), clock.wall_ns() / NS_PER_S
        seen = Sighting(
            members=tuple(one.member for one in fleet.served),
            watch_s=0.0,
            simulation="",
            lanes_setting=fleet.settings.lanes,
            started_ns=now_ns,
            lanes=fleet.lanes(),
            keys=fleet.keys(),
        )
        state = State(seen, Tally({}, {}, {}), judged_by_store(seen, now_s), now_ns, now_s)
        return statistics(state, TrafficSeen({}, {}, {}, (), ()), show_amounts=False, source=STORE)

    def close(self) -> None:
        """Give the lanes back."""
        self._fleet.close()

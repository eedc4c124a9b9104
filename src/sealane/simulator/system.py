"""What state the exchange and its pairs are in, and which calls that refuses.

`maintenance` refuses every private call (by switch only those that change something); `cancel_only` lets nothing but
cancels through; `post_only` wants the flag `post` on every new order. A pair may be in one of the last two on its own,
and in `limit_only` (no market orders) or `reduce_only` (only orders that say so; without margin none can).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sealane.simulator.facts import MARKET_IN_MODE, PAIR_STATES, SYSTEM_STATES, UNAVAILABLE, WRITES, Refused, Switches
from sealane.simulator.params import Params
from sealane.simulator.touches import Touch

NEW = frozenset({"add", "amend", "edit", "batch_add"})


@dataclass
class SystemState:
    """`mode` is what SystemStatus says, `pairs` are the pairs that are not online, by internal name."""

    mode: str = "online"
    pairs: dict[str, str] = field(default_factory=dict)

    def change(self, mode: str | None, pairs: Mapping[str, str]) -> None:
        """Set the mode and the states of pairs, all or nothing; ValueError names what is not right."""
        if mode is not None and mode not in SYSTEM_STATES:
            raise ValueError(f"status: {mode!r} is none; use one of {', '.join(SYSTEM_STATES)}")
        wrong = [state for state in pairs.values() if state not in PAIR_STATES]
        if wrong:
            raise ValueError(f"pairs: {wrong[0]!r} is no state; use one of {', '.join(PAIR_STATES)}")
        self.mode = mode or self.mode
        changed = self.pairs | dict(pairs)
        self.pairs = {pair: state for pair, state in changed.items() if state != "online"}

    def document(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"status": self.mode, "pairs": dict(self.pairs)}

    def stamp(self, method: str, result: dict[str, Any]) -> dict[str, Any]:
        """Write the state into the answers that show it: SystemStatus and AssetPairs."""
        if method == "SystemStatus":
            return result | {"status": self.mode}
        if method == "AssetPairs":
            return {name: self._stamp_pair(name, row) for name, row in result.items()}
        return result

    def _stamp_pair(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        return row | {"status": self.pairs.get(name, "online")} if "status" in row else row

    def check(self, method: str, touches: Iterable[Touch], params: Params, switches: Switches) -> None:
        """Refuse what the state of the system, or of a pair that the call touches, does not let through."""
        if self.mode == "maintenance" and (switches.maintenance_refuses_reads or method in WRITES):
            raise Refused(UNAVAILABLE)
        for touch in touches:
            for state in (self.mode, self.pairs.get(touch.pair, "online")):
                if touch.what in NEW and not _passes(state, touch, params):
                    raise Refused(MARKET_IN_MODE.format(mode=state))


def _passes(state: str, touch: Touch, params: Params) -> bool:
    orders = _orders(params)
    if state == "cancel_only":
        return False
    if state == "post_only":
        return all("post" in order.names("oflags") or order.flag("post_only") for order in orders)
    if state == "limit_only":
        return touch.what == "amend" or all(order.text("ordertype") != "market" for order in orders)
    if state == "reduce_only":
        return all(order.flag("reduce_only") for order in orders)
    return True


def _orders(params: Params) -> list[Params]:
    """The orders that a call carries: its own fields, or each of a batch."""
    batch = params.fields.get("orders")
    found = [Params(order) for order in batch if isinstance(order, dict)] if isinstance(batch, list) else []
    return found or [params]

"""What state the exchange and its pairs are in, and which calls that refuses.

`maintenance` refuses every private call (by switch only those that change something); `cancel_only` lets nothing but
cancels through; `post_only` wants the flag `post` on every new order. A pair may be in one of the last two on its own,
and in `limit_only` (no market orders) or `reduce_only` (only orders that say so; without margin none can). An amend
and an edit are judged as the order that comes of them. What rests already goes on being filled in every state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sealane.simulator.context import Context
from sealane.simulator.facts import MARKET_IN_MODE, PAIR_STATES, SYSTEM_STATES, UNAVAILABLE, WRITES, Refused, Switches
from sealane.simulator.naming import order_to_amend, order_to_edit
from sealane.simulator.orders import Order
from sealane.simulator.params import Params
from sealane.simulator.touches import Touch

NEW = frozenset({"add", "amend", "edit", "batch_add"})
CHANGES = frozenset({"amend", "edit"})


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

    def check(self, method: str, context: Context, params: Params, touches: Iterable[Touch]) -> None:
        """Refuse what the state of the system, or of a pair that the call touches, does not let through."""
        if self.mode == "maintenance" and (context.switches.maintenance_refuses_reads or method in WRITES):
            raise Refused(UNAVAILABLE)
        judged = NEW if context.switches.state_judges_changes else NEW - CHANGES
        for touch in touches:
            for state in (self.mode, self.pairs.get(touch.pair, "online")):
                if touch.what in judged and not _passes(state, _wanted(touch.what, context, params)):
                    raise Refused(_refusal(state, context.switches))


def _refusal(state: str, switches: Switches) -> str:
    chosen = {"limit_only": switches.limit_only_error, "reduce_only": switches.reduce_only_error}
    return chosen.get(state) or MARKET_IN_MODE.format(mode=state)


@dataclass(frozen=True)
class _Wanted:
    """As much of an order that shall come to be as a state asks about."""

    market: bool
    post: bool
    reduces: bool


def _passes(state: str, wanted: list[_Wanted]) -> bool:
    if state == "post_only":
        return all(order.post for order in wanted)
    if state == "limit_only":
        return not any(order.market for order in wanted)
    if state == "reduce_only":
        return all(order.reduces for order in wanted)
    return state != "cancel_only"


def _wanted(what: str, context: Context, params: Params) -> list[_Wanted]:
    if what == "batch_add":
        return [_read(Params(row), None) for row in params.fields["orders"]]
    if what == "amend":
        return [_read(params, order_to_amend(context.account, params))]
    if what == "edit":
        pair = context.market.pair(params.required("pair"))
        return [_read(params, order_to_edit(context.account, pair, params))]
    return [_read(params, None)]


def _read(params: Params, old: Order | None) -> _Wanted:
    """The order that these fields ask for, in place of an old one or not."""
    kind = params.text("ordertype") if old is None else old.ordertype
    post = "post" in params.names("oflags") or params.flag("post_only") or (old is not None and "post" in old.flags)
    return _Wanted(kind == "market", post, params.flag("reduce_only"))

"""Any sequence of calls: the simulator answers what a small model of its own says. See ``exchange_model.py``.

SEALANE_SOAK=1 plays many more and longer sequences. The liars below are there to show that a simulator that answers
otherwise would be found.
"""

import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from exchange_model import (
    ALL_PERMISSIONS,
    BASE,
    INSUFFICIENT_FUNDS,
    INVALID_ARGUMENTS,
    QUOTE,
    TAKER_FEE,
    UNKNOWN_ORDER,
    Model,
    Placed,
    Rules,
    holding,
)
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sealane.simulator import Probe, Simulator, Switches

SOAK = bool(os.environ.get("SEALANE_SOAK"))
START = {QUOTE: Decimal(3000), BASE: Decimal("0.5")}
CENT = Decimal("0.0002")
"""What rounding may move in one fill: a half of the last digit of cost and fee, each twice."""
SURELY_BELOW, SURELY_ABOVE = Decimal(20_000), Decimal(180_000)
"""The price of a bitcoin here lies between these, whatever the seed and the minute."""

steps = st.sampled_from([*[1] * 12, 7, 1000, 0, -1, -3])
"""How far a call's nonce is from the highest accepted one: mostly above, as a client counts."""
sides = st.sampled_from(["buy", "sell"])
volumes = st.sampled_from([Decimal("0.01"), Decimal("0.01"), Decimal("0.04"), Decimal("0.2")])
userrefs = st.sampled_from([None, None, 1, 1, 2])
client_ids = st.sampled_from([None, None, None, "a", "b"])
references = st.sampled_from(
    [(None, None), (1, None), (1, None), (2, None), (None, "a"), (None, "a"), (None, "b"), (1, "a")]
)
positions = st.integers(0, 40)


class Exchange(RuleBasedStateMachine):
    """Calls of every kind, each compared with the model."""

    undocumented = Rules()

    def __init__(self) -> None:
        super().__init__()
        self.simulator = Simulator(seed=9, switches=Switches(**vars(self.undocumented))).start()
        self.simulator.update_account("MASTER", balances={asset: str(amount) for asset, amount in START.items()})
        self.probe = Probe(self.simulator.url, self.simulator.accounts[0])
        self.model = Model(self.undocumented, dict(START))
        self.permit(ALL_PERMISSIONS)

    def teardown(self) -> None:
        self.probe.close()
        self.simulator.stop()

    def ask(self, method: str, nonce: int, **fields: Any) -> Any:
        """One call over the wire, the whole answer; liars override it."""
        return self.probe.private(method, nonce=nonce, **fields)

    def result(self, method: str, step: int, **fields: Any) -> Any:
        """A call's result, None where the model expects it to be refused before it is carried out."""
        nonce = max(0, self.model.highest + step)
        answer = self.ask(method, nonce, **fields)
        refusal = self.model.call(method, nonce)
        if refusal is not None:
            assert answer == {"error": [refusal]}
            return None
        return answer

    # --- the key ---

    @rule(permissions=st.sets(st.sampled_from(sorted(ALL_PERMISSIONS)), min_size=4))
    def permit(self, permissions: set[str]) -> None:
        self.simulator.update_account("MASTER", permissions=sorted(permissions))
        self.model.permissions = frozenset(permissions)

    @rule(window=st.sampled_from([0, 0, 2, 10]))
    def set_window(self, window: int) -> None:
        self.simulator.update_account("MASTER", nonce_window=window)
        self.model.set_window(window)

    @rule(step=steps)
    def sign_badly(self, step: int) -> None:
        nonce = max(0, self.model.highest + step)
        body, headers, path = self.probe.signed("Balance", nonce=nonce)
        _, answer = self.probe.send("POST", path, body + b"&more=1", headers)
        assert answer.decode() == f'{{"error":["{self.model.badly_signed(nonce)}"]}}'

    @rule(step=steps)
    def key_info(self, step: int) -> None:
        before = self.model.highest
        answer = self.result("GetApiKeyInfo", step)
        if answer is not None:
            info = answer["result"]
            counted = self.model.highest if self.undocumented.key_info_counts_itself else before
            assert (info["nonce"], info["nonceWindow"]) == (str(counted), self.model.window)
            assert sorted(info["permissions"]) == sorted(self.model.permissions)

    # --- placing ---

    @initialize(twins=st.integers(0, 3), userref=st.sampled_from([1, 2]), client=client_ids)
    def begin(self, twins: int, userref: int, client: str | None) -> None:
        """With orders there already, so that few steps lead to something."""
        for _ in range(twins):
            self.rest(1, "buy", Decimal("0.01"), False, (userref, None))
        self.rest(1, "sell", Decimal("0.01"), False, (None, client))

    @rule(step=steps, side=sides, volume=volumes, tall=st.booleans(), reference=references)
    def rest(self, step: int, side: str, volume: Decimal, tall: bool, reference: tuple[int | None, str | None]) -> None:
        userref, cl_ord_id = reference
        limit = {"buy": Decimal(2000), "sell": Decimal(900_000)}[side] + 1000 * tall
        reasons = self.model.refusals(*holding(side, volume, limit), cl_ord_id, userref)
        txid = self.place(step, side, volume, limit, reasons, userref, cl_ord_id)
        if txid is not None:
            self.model.orders.append(Placed(txid, side, volume, limit, userref, cl_ord_id))

    @rule(step=steps, side=sides, volume=volumes)
    def check_only(self, step: int, side: str, volume: Decimal) -> None:
        limit = {"buy": Decimal(2000), "sell": Decimal(900_000)}[side]
        reasons = self.model.refusals(*holding(side, volume, limit), None, None)
        assert self.place(step, side, volume, limit, reasons, validate="true") is None

    @rule(step=steps, side=sides, volume=volumes)
    def trade(self, step: int, side: str, volume: Decimal) -> None:
        """A market order. Whether a buy can be paid is known only where the price does not matter."""
        asset, low, high = BASE, volume, volume
        if side == "buy":
            asset, low, high = QUOTE, volume * SURELY_BELOW, volume * SURELY_ABOVE
        spare = self.model.available(asset)
        reasons = {INSUFFICIENT_FUNDS} if high > spare else set()
        txid = self.place(step, side, volume, None, reasons, certain=low > spare or not reasons)
        if txid is not None:
            self.settle(Placed(txid, side, volume, None, None, None))

    def place(
        self,
        step: int,
        side: str,
        volume: Decimal,
        limit: Decimal | None,
        reasons: set[str],
        userref: int | None = None,
        cl_ord_id: str | None = None,
        validate: str = "",
        certain: bool = True,
    ) -> str | None:
        """The new order's id; None where none was placed, rightly."""
        fields: dict[str, Any] = {"pair": "XBTUSD", "type": side, "volume": str(volume)}
        fields |= {"ordertype": "limit", "price": str(limit)} if limit else {"ordertype": "market"}
        more = {"userref": userref, "cl_ord_id": cl_ord_id, "validate": validate or None}
        answer = self.result("AddOrder", step, **fields, **{k: v for k, v in more.items() if v is not None})
        if answer is None or (answer["error"] and reasons):
            assert answer is None or answer["error"][0] in reasons
            return None
        assert answer["error"] == []
        assert not (reasons and certain), f"{reasons} expected"
        assert answer["result"]["descr"]["order"].startswith(f"{side} {volume:.8f} XBTUSD @ ")
        ids: list[str] = answer["result"].get("txid", [])
        assert len(ids) == (0 if validate else 1)
        return ids[0] if ids else None

    def settle(self, order: Placed) -> None:
        """A filled order's own row says what it cost; the money has to have moved by just that."""
        row = self.simulator.state()["accounts"]["MASTER"]["orders"][order.txid]
        cost, fee = Decimal(row["cost"]), Decimal(row["fee"])
        assert (row["status"], Decimal(row["vol_exec"])) == ("closed", order.volume)
        assert SURELY_BELOW < cost / order.volume < SURELY_ABOVE
        assert abs(fee - cost * TAKER_FEE) <= CENT
        self.model.orders.append(order)
        self.model.fill(order, cost, fee)
        there = self.amounts()
        assert abs(there[QUOTE] - self.model.balances[QUOTE]) <= CENT
        self.model.balances[QUOTE] = there[QUOTE]

    # --- cancelling ---

    @precondition(lambda self: self.model.orders)
    @rule(step=steps, at=positions)
    def cancel_by_id(self, step: int, at: int) -> None:
        order = self.model.orders[at % len(self.model.orders)]
        self.cancel(step, [order] if order.status == "open" else [], txid=order.txid)

    @rule(step=steps, cl_ord_id=st.sampled_from(["a", "b", "never"]))
    def cancel_by_client_id(self, step: int, cl_ord_id: str) -> None:
        self.cancel(step, self.model.of("open", cl_ord_id=cl_ord_id), cl_ord_id=cl_ord_id)

    @rule(step=steps, userref=st.sampled_from([1, 1, 2, 3]))
    def cancel_by_userref(self, step: int, userref: int) -> None:
        self.cancel(step, self.model.of("open", userref=userref), txid=userref)

    def cancel(self, step: int, meant: list[Placed], **fields: Any) -> None:
        answer = self.result("CancelOrder", step, **fields)
        if answer is None:
            return
        if meant:
            assert answer["error"] == []
            assert answer["result"]["count"] == self.model.cancel(meant)
        else:
            assert answer == {"error": [UNKNOWN_ORDER]}

    # --- looking ---

    @rule(step=steps, userref=userrefs, cl_ord_id=client_ids)
    def open_orders(self, step: int, userref: int | None, cl_ord_id: str | None) -> None:
        wanted = {"userref": userref, "cl_ord_id": cl_ord_id}
        answer = self.result("OpenOrders", step, **{k: v for k, v in wanted.items() if v is not None})
        if answer is not None:
            self.compare(answer["result"]["open"], self.model.of("open", **wanted))  # type: ignore[arg-type]

    @rule(step=steps, userref=userrefs, cl_ord_id=client_ids)
    def closed_orders(self, step: int, userref: int | None, cl_ord_id: str | None) -> None:
        wanted = {"userref": userref, "cl_ord_id": cl_ord_id}
        answer = self.result("ClosedOrders", step, **{k: v for k, v in wanted.items() if v is not None})
        if answer is not None:
            expected = self.model.of("canceled", "closed", **wanted)  # type: ignore[arg-type]
            assert answer["result"]["count"] == len(expected)
            if len(expected) <= 50:  # Kraken shows 50 at a time
                self.compare(answer["result"]["closed"], expected)

    @rule(step=steps, chosen=st.sets(positions, max_size=5), stranger=st.booleans())
    def query_orders(self, step: int, chosen: set[int], stranger: bool) -> None:
        orders = {order.txid: order for at, order in enumerate(self.model.orders) if at in chosen}
        ids = [*orders, *(["OAAAAA-AAAAA-AAAAAA"] if stranger else [])]
        answer = self.result("QueryOrders", step, txid=",".join(ids))
        if answer is not None and orders:
            self.compare(answer["result"], list(orders.values()))
        elif answer is not None:
            assert answer == {"error": [UNKNOWN_ORDER if ids else INVALID_ARGUMENTS]}

    def compare(self, rows: dict[str, Any], orders: list[Placed]) -> None:
        shown = {
            txid: (row["status"], row["userref"], row.get("cl_ord_id"), row["descr"]["type"], Decimal(row["vol"]))
            for txid, row in rows.items()
        }
        assert shown == {
            order.txid: (order.status, order.userref, order.cl_ord_id, order.side, order.volume) for order in orders
        }

    @rule(step=steps)
    def balance(self, step: int) -> None:
        answer = self.result("Balance", step)
        if answer is not None:
            assert {asset: Decimal(text) for asset, text in answer["result"].items()} == self.model.balances

    @rule(step=steps)
    def balance_ex(self, step: int) -> None:
        answer = self.result("BalanceEx", step)
        if answer is not None:
            rows = {
                asset: (Decimal(row["balance"]), Decimal(row["hold_trade"])) for asset, row in answer["result"].items()
            }
            assert rows == {asset: (amount, self.model.held(asset)) for asset, amount in self.model.balances.items()}

    @invariant()
    def the_state_is_the_models(self) -> None:
        state = self.simulator.state()["accounts"]["MASTER"]
        assert int(state["highest_nonce"]) == self.model.highest
        assert state["open_orders"] == len(self.model.of("open"))
        assert self.amounts() == self.model.balances

    def amounts(self) -> dict[str, Decimal]:
        balances = self.simulator.state()["accounts"]["MASTER"]["balances"]
        return {asset: Decimal(text) for asset, text in balances.items()}


class OtherRules(Exchange):
    """The same under the other answer to each question that nobody documents."""

    undocumented = Rules(
        bad_signature_consumes_nonce=True,
        permission_refusal_consumes_nonce=False,
        window_allows_replay=False,
        key_info_counts_itself=False,
    )


def play(machine: type[Exchange], examples: int, **more: Any) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=80 if SOAK else 30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


@pytest.mark.parametrize("machine", [Exchange, OtherRules])
def test_the_simulator_answers_as_the_model(machine: type[Exchange]) -> None:
    play(machine, 1000 if SOAK else 50)


# --- liars ------------------------------------------------------------------------------------------------------------


def takes_any_nonce(method: str, answer: Any) -> Any:
    return {"error": [], "result": {}} if answer == {"error": ["EAPI:Invalid nonce"]} else answer


def forgets_an_open_order(method: str, answer: Any) -> Any:
    if method == "OpenOrders" and answer.get("result", {}).get("open"):
        answer["result"]["open"].popitem()
    return answer


def holds_nothing(method: str, answer: Any) -> Any:
    if method == "BalanceEx":
        for row in answer.get("result", {}).values():
            row["hold_trade"] = "0.0000"
    return answer


def cancels_one_at_a_time(method: str, answer: Any) -> Any:
    if method == "CancelOrder" and answer.get("result"):
        answer["result"]["count"] = 1
    return answer


def adds_a_cent(method: str, answer: Any) -> Any:
    if method == "Balance" and answer.get("result"):
        answer["result"][QUOTE] = str(Decimal(answer["result"][QUOTE]) + Decimal("0.01"))
    return answer


def takes_a_client_id_twice(method: str, answer: Any) -> Any:
    placed = {"descr": {"order": "buy 0.01000000 XBTUSD @ limit 2000.0"}, "txid": ["OAAAAA-AAAAA-AAAAAA"]}
    return {"error": [], "result": placed} if answer == {"error": ["EOrder:Duplicate cl_ord_id"]} else answer


def permits_everything(method: str, answer: Any) -> Any:
    return {"error": [], "result": {}} if answer == {"error": ["EGeneral:Permission denied"]} else answer


@pytest.mark.parametrize(
    "lie",
    [
        takes_any_nonce,
        forgets_an_open_order,
        holds_nothing,
        cancels_one_at_a_time,
        adds_a_cent,
        takes_a_client_id_twice,
        permits_everything,
    ],
)
def test_a_liar_is_found(lie: Callable[[str, Any], Any]) -> None:
    class Liar(Exchange):
        def ask(self, method: str, nonce: int, **fields: Any) -> Any:
            return lie(method, super().ask(method, nonce, **fields))

    with pytest.raises((AssertionError, KeyError)):
        play(Liar, 300, phases=[Phase.generate], verbosity=Verbosity.quiet, derandomize=True)

"""The states of the system and of pairs: what they show and what they refuse."""

from typing import Any

import pytest

from sealane.simulator import ControlError, Direct, Simulator, Switches

LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "25000"}
POST = LIMIT | {"oflags": "post"}
MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.1"}
ETHER = LIMIT | {"pair": "ETHUSD", "price": "1000"}


def errors(client: Direct, **fields: Any) -> str:
    return "".join(client.private("AddOrder", **fields)["error"])


@pytest.mark.parametrize(
    ("state", "limit", "post", "market"),
    [
        ("online", "", "", ""),
        ("cancel_only", *["EService:Market in cancel_only mode"] * 3),
        ("post_only", "EService:Market in post_only mode", "", "EService:Market in post_only mode"),
        ("limit_only", "", "", "EService:Market in limit_only mode"),
        ("reduce_only", *["EService:Market in reduce_only mode"] * 3),
    ],
)
@pytest.mark.parametrize("of_pair", [True, False])
def test_what_a_state_lets_through(state: str, limit: str, post: str, market: str, of_pair: bool) -> None:
    simulator = Simulator()
    client = simulator.direct()
    txid = client.private("AddOrder", **LIMIT)["result"]["txid"][0]
    if of_pair:
        simulator.set_status(XBTUSD=state)
    elif state in ("limit_only", "reduce_only"):
        with pytest.raises(ControlError, match=r"status: .* is none; use one of online"):
            simulator.set_status(state)
        return
    else:
        simulator.set_status(state)
    assert (errors(client, **LIMIT), errors(client, **POST), errors(client, **MARKET)) == (limit, post, market)
    assert errors(client, **ETHER) == ("" if of_pair else limit)
    assert client.private("CancelOrder", txid=txid)["error"] == []
    assert client.private("Balance")["error"] == []
    assert client.public("SystemStatus")["result"]["status"] == ("online" if of_pair else state)
    rows = client.public("AssetPairs")["result"]
    assert (rows["XXBTZUSD"]["status"], rows["XETHZUSD"]["status"]) == (state if of_pair else "online", "online")
    assert "status" not in client.public("AssetPairs", info="fees")["result"]["XXBTZUSD"]


ROW = {"ordertype": "limit", "type": "buy", "volume": "0.01", "price": "25000"}
SELL_AT_MARKET = {"ordertype": "market", "type": "sell", "volume": "0.01"}
ONLY_POST = "EService:Market in post_only mode"
ONLY_LIMIT = "EService:Market in limit_only mode"
NOTHING_NEW = "EService:Market in cancel_only mode"


@pytest.mark.parametrize(
    ("state", "method", "fields", "error"),
    [
        ("cancel_only", "AddOrderBatch", {"orders": [ROW, ROW]}, NOTHING_NEW),
        ("cancel_only", "AmendOrder", {"txid": "post", "order_qty": "0.2"}, NOTHING_NEW),
        ("cancel_only", "EditOrder", {"txid": "post", "volume": "0.2"}, NOTHING_NEW),
        ("cancel_only", "EditOrder", {"txid": "nobody's", "volume": "0.2"}, NOTHING_NEW),
        ("cancel_only", "AmendOrder", {"txid": "nobody's", "order_qty": "0.2"}, "EOrder:Unknown order"),
        ("cancel_only", "CancelOrderBatch", {"orders": ["plain", "post"]}, ""),
        ("cancel_only", "CancelAll", {}, ""),
        ("cancel_only", "CancelAllOrdersAfter", {"timeout": 60}, ""),
        ("post_only", "AddOrderBatch", {"orders": [ROW | {"oflags": "post"}, ROW]}, ONLY_POST),
        ("post_only", "AddOrderBatch", {"orders": [ROW | {"oflags": "post"}] * 2}, ""),
        ("post_only", "AmendOrder", {"txid": "plain", "order_qty": "0.2"}, ONLY_POST),
        ("post_only", "AmendOrder", {"txid": "plain", "order_qty": "0.2", "post_only": True}, ""),
        ("post_only", "AmendOrder", {"txid": "post", "order_qty": "0.2"}, ""),
        ("post_only", "EditOrder", {"txid": "plain", "volume": "0.2"}, ONLY_POST),
        ("post_only", "EditOrder", {"txid": "plain", "volume": "0.2", "oflags": "post"}, ""),
        ("post_only", "EditOrder", {"txid": "post", "volume": "0.2"}, ""),
        ("limit_only", "AddOrderBatch", {"orders": [ROW, SELL_AT_MARKET]}, ONLY_LIMIT),
        ("limit_only", "AddOrderBatch", {"orders": [ROW, ROW]}, ""),
        ("limit_only", "AmendOrder", {"txid": "plain", "order_qty": "0.2"}, ""),
        ("limit_only", "EditOrder", {"txid": "plain", "volume": "0.2"}, ""),
        ("reduce_only", "AmendOrder", {"txid": "post", "order_qty": "0.2"}, "EService:Market in reduce_only mode"),
        ("reduce_only", "CancelAll", {}, ""),
        ("maintenance", "CancelAll", {}, "EService:Unavailable"),
        ("maintenance", "CancelAllOrdersAfter", {"timeout": 60}, "EService:Unavailable"),
        ("maintenance", "TradesHistory", {}, "EService:Unavailable"),
    ],
)
def test_a_state_holds_for_every_way_to_trade(state: str, method: str, fields: dict[str, Any], error: str) -> None:
    simulator = Simulator()
    client = simulator.direct()
    names = {name: client.private("AddOrder", **order)["result"]["txid"][0] for name, order in RESTING.items()}
    before = simulator.state()["accounts"]["MASTER"]["orders"]
    if state == "maintenance":
        simulator.set_status(state)
    else:
        simulator.set_status(XBTUSD=state)
    sent = {"pair": "XBTUSD"} | fields
    if "txid" in sent:
        sent["txid"] = names.get(sent["txid"], "OAAAAA-AAAAA-AAAAAA")
    if method == "CancelOrderBatch":
        sent["orders"] = [names[name] for name in sent["orders"]]
    assert "".join(client.private(method, **sent, as_json=True)["error"]) == error
    if error:
        assert simulator.state()["accounts"]["MASTER"]["orders"] == before


RESTING = {"plain": LIMIT, "post": POST}


@pytest.mark.parametrize("reads", [True, False])
def test_maintenance(reads: bool) -> None:
    simulator = Simulator(switches=Switches(maintenance_refuses_reads=reads))
    client = simulator.direct()
    txid = client.private("AddOrder", **LIMIT)["result"]["txid"][0]
    simulator.set_status("maintenance")
    assert errors(client, **LIMIT) == "EService:Unavailable"
    assert client.private("CancelOrder", txid=txid)["error"] == ["EService:Unavailable"]
    assert client.private("Balance")["error"] == (["EService:Unavailable"] if reads else [])
    assert client.public("SystemStatus")["result"]["status"] == "maintenance"
    simulator.reset()
    assert errors(client, nonce=1, **LIMIT) == ""


def test_status_over_http_all_or_nothing() -> None:
    client = Simulator().direct()
    wanted = {"status": "post_only", "pairs": {"BTCUSD": "cancel_only"}}
    shown = {"status": "post_only", "pairs": {"XXBTZUSD": "cancel_only"}}
    assert client.control("POST", "/sim/status", wanted) == (200, shown)
    for wrong, said in (
        ({"status": "open"}, "status: 'open' is none"),
        ({"status": "online", "pairs": {"XBTUSD": "shut"}}, "pairs: 'shut' is no state"),
        ({"status": "online", "pairs": {"NOPE": "online"}}, "pairs: one of NOPE is not here"),
        ({"state": "online"}, "status: give"),
        ({"pairs": ["XBTUSD"]}, "status: give"),
    ):
        status, document = client.control("POST", "/sim/status", wrong)
        assert (status, document["error"][: len(said)]) == (400, said)
    assert client.control("GET", "/sim/status") == (200, shown)
    assert client.control("GET", "/sim/state")[1]["system"] == shown
    back = client.control("POST", "/sim/status", {"pairs": {"XBTUSD": "online"}})
    assert back == (200, {"status": "post_only", "pairs": {}})


def test_a_call_refused_for_the_state_has_used_its_nonce_but_not_the_counter() -> None:
    simulator = Simulator(tier="pro", clock="frozen")
    simulator.set_status("cancel_only")
    errors(simulator.direct(), nonce=5, **LIMIT)
    account = simulator.state()["accounts"]["MASTER"]
    assert (account["highest_nonce"], account["limits"]["trading"]) == ("5", {})

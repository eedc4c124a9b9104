"""The public methods: time, status, assets, pairs, prices."""

from collections.abc import Callable
from typing import Any

from sealane.simulator import tape
from sealane.simulator.clock import NS_PER_S, iso, rfc1123
from sealane.simulator.facts import bad_argument
from sealane.simulator.market import Market
from sealane.simulator.pairs import Pair
from sealane.simulator.params import Params

PublicMethod = Callable[[Market, int, Params], dict[str, Any]]


def server_time(_market: Market, now_ns: int, _params: Params) -> dict[str, Any]:
    """`{"unixtime": 1616336594, "rfc1123": "Sun, 21 Mar 21 14:23:14 +0000"}`."""
    return {"unixtime": now_ns // NS_PER_S, "rfc1123": rfc1123(now_ns)}


def system_status(_market: Market, now_ns: int, _params: Params) -> dict[str, Any]:
    """Always online."""
    return {"status": "online", "timestamp": iso(now_ns)}


def assets(market: Market, _now_ns: int, params: Params) -> dict[str, Any]:
    """Rows by internal name; `asset` is a comma list of names."""
    wanted = [market.asset(name) for name in params.names("asset")] or list(market.assets.values())
    return {asset.name: asset.document() for asset in wanted}


def asset_pairs(market: Market, _now_ns: int, params: Params) -> dict[str, Any]:
    """Rows by internal name; `pair` is a comma list, `info` one of info, leverage, fees, margin."""
    parts: dict[str, Callable[[Pair], dict[str, Any]]] = {
        "info": Pair.document,
        "leverage": Pair.leverages,
        "fees": Pair.fees,
        "margin": Pair.margin,
    }
    part = parts.get(params.text("info") or "info")
    if part is None:
        raise bad_argument("info")
    return {pair.name: part(pair) for pair in _wanted(market, params)}


def ticker(market: Market, _now_ns: int, params: Params) -> dict[str, Any]:
    """Rows by internal name; `pair` is a comma list, all pairs without it."""
    return {pair.name: market.ticker(pair) for pair in _wanted(market, params)}


def _wanted(market: Market, params: Params) -> list[Pair]:
    return [market.pair(name) for name in params.names("pair")] or list(market.pairs.values())


PUBLIC: dict[str, PublicMethod] = {
    "Time": server_time,
    "SystemStatus": system_status,
    "Assets": assets,
    "AssetPairs": asset_pairs,
    "Ticker": ticker,
    "Depth": tape.depth,
    "Trades": tape.trades,
    "Spread": tape.spread,
    "OHLC": tape.ohlc,
}

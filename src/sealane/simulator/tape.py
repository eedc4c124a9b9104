"""The public market data: Depth, Trades, Spread, OHLC.

All but the accounts' own orders and trades is made up, as a pure function of the price path and the seed: asked twice
for the same time, it says the same. It reaches back before the simulator's start, because the path does.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any
from zlib import crc32

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.facts import bad_argument
from sealane.simulator.facts.trading import (
    DEPTH_DEFAULT,
    DEPTH_MAX,
    HALF_SPREAD_TICKS,
    OHLC_MINUTES,
    OHLC_ROWS,
    OHLC_SAMPLES,
    SPREADS_SHOWN,
    TAPE_STEP_S,
    TRADES_MAX,
)
from sealane.simulator.market import Market
from sealane.simulator.pairs import Pair
from sealane.simulator.params import Params
from sealane.simulator.records import Trade

Row = list[Any]


def depth(market: Market, now_ns: int, params: Params) -> dict[str, Any]:
    """`{pair: {"asks": [[price, volume, time], …], "bids": …}}`, best first, `count` of each (100)."""
    pair, count = _pair(market, params), _count(params, DEPTH_DEFAULT, DEPTH_MAX)
    book = market.books[pair.name]
    sides = {
        name: [[_price(pair, price), f"{volume:.3f}", now_ns // NS_PER_S] for price, volume in book.depth(side, count)]
        for name, side in (("asks", "sell"), ("bids", "buy"))
    }
    return {pair.name: sides}


def trades(market: Market, now_ns: int, params: Params) -> dict[str, Any]:
    """`{pair: [[price, volume, time, "b"|"s", "m"|"l", "", trade id], …], "last": ns}`, oldest first.

    Without `since` (nanoseconds, left out itself) the newest.
    """
    pair, count = _pair(market, params), _count(params, TRADES_MAX, TRADES_MAX)
    since_ns = _since(params)
    rows = _tape(market, pair, since_ns, now_ns)
    wanted = list(islice(rows, count)) if since_ns is not None else list(rows)[-count:]
    last = wanted[-1][0] if wanted else since_ns or now_ns
    return {pair.name: [row for _, row in wanted], "last": str(last)}


def _tape(market: Market, pair: Pair, since_ns: int | None, now_ns: int) -> Iterator[tuple[int, Row]]:
    """(time, row) after `since_ns`, up to now; without it the newest, `TRADES_MAX` made-up ones and the accounts'."""
    own = [(trade.time_ns, _own_row(trade)) for trade in market.prints[pair.name]]
    first = market.second // TAPE_STEP_S - TRADES_MAX
    if since_ns is not None:
        first = max(first, market.second_at(since_ns) // TAPE_STEP_S)
    made_up = [_made_up(market, pair, number) for number in range(first, market.second // TAPE_STEP_S + 1)]
    for at_ns, row in sorted(own + made_up, key=lambda item: item[0]):
        if at_ns <= now_ns and (since_ns is None or at_ns > since_ns):
            yield at_ns, row


def _made_up(market: Market, pair: Pair, number: int) -> tuple[int, Row]:
    second = number * TAPE_STEP_S
    dice = _dice(market, pair, number)
    side, sign = ("b", 1) if dice % 2 else ("s", -1)
    price = market.price(pair, second) + sign * HALF_SPREAD_TICKS * pair.tick_size
    volume = _volume(pair, dice)
    at_ns = market.time_of(second)
    return at_ns, [_price(pair, price), f"{volume:.8f}", at_ns / NS_PER_S, side, "m", "", 10_000_000 + number]


def _dice(market: Market, pair: Pair, number: int) -> int:
    return crc32(f"{market.seed} {pair.name} {number}".encode())


def _volume(pair: Pair, dice: int) -> Decimal:
    """A volume worth 1 to 1,000 USD or so."""
    return Decimal(dice % 1000 + 1) / pair.usual_price


def _own_row(trade: Trade) -> Row:
    """The row of an account's trade: shown is the side that took."""
    buys = (trade.side == "buy") != trade.maker
    kind = "m" if trade.ordertype == "market" else "l"
    volume, at_s = f"{trade.volume:.8f}", trade.time_ns / NS_PER_S
    return [_price(trade.pair, trade.price), volume, at_s, "b" if buys else "s", kind, "", trade.number]


def spread(market: Market, _now_ns: int, params: Params) -> dict[str, Any]:
    """`{pair: [[time, bid, ask], …], "last": s}` for the last 200 seconds, the present one as the book has it."""
    pair, since_s = _pair(market, params), params.integer("since") or 0
    quote, half = market.quote(pair), HALF_SPREAD_TICKS * pair.tick_size
    rows: list[Row] = []
    for second in range(market.second - SPREADS_SHOWN + 1, market.second):
        price = market.price(pair, second)
        rows.append(_spread_row(market, pair, second, price - half, price + half))
    rows.append(_spread_row(market, pair, market.second, quote.bid, quote.ask))
    return {pair.name: [row for row in rows if row[0] >= since_s], "last": rows[-1][0]}


def _spread_row(market: Market, pair: Pair, second: int, bid: Decimal, ask: Decimal) -> Row:
    return [market.time_of(second) // NS_PER_S, _price(pair, bid), _price(pair, ask)]


def ohlc(market: Market, now_ns: int, params: Params) -> dict[str, Any]:
    """`{pair: [[time, open, high, low, close, vwap, volume, count], …], "last": s}`, up to 720 rows, oldest first.

    `interval` is in minutes; the last row is the one that goes on, `last` the time of the one before. Highs and lows
    are of a few samples of the path, and of the accounts' trades.
    """
    pair, minutes = _pair(market, params), params.integer("interval") or 1
    if minutes not in OHLC_MINUTES:
        raise bad_argument("interval")
    length_s, since_s = minutes * 60, params.integer("since") or 0
    current_s = now_ns // NS_PER_S // length_s * length_s
    starts = range(current_s - (OHLC_ROWS - 1) * length_s, current_s + 1, length_s)
    rows = [_candle(market, pair, start_s, length_s) for start_s in starts if start_s >= since_s]
    return {pair.name: rows, "last": current_s - length_s}


def _candle(market: Market, pair: Pair, start_s: int, length_s: int) -> Row:
    first = market.second_at(start_s * NS_PER_S)
    end = min(first + length_s, market.second)
    step_s = max(1, length_s // OHLC_SAMPLES)
    path = [market.price(pair, second) for second in (*range(first, end, step_s), end)]
    own = [trade for trade in market.prints[pair.name] if 0 <= trade.time_ns // NS_PER_S - start_s < length_s]
    prices = path + [trade.price for trade in own]
    traded = sum((trade.volume for trade in own), Decimal(0))
    volume = traded + _volume(pair, _dice(market, pair, start_s)) * length_s / TAPE_STEP_S
    mean = sum(path, Decimal(0)) / len(path)
    written = [_price(pair, price) for price in (path[0], max(prices), min(prices), path[-1], mean)]
    return [start_s, *written, f"{volume:.8f}", length_s // TAPE_STEP_S + len(own)]


# --- arguments and writing ---


def _pair(market: Market, params: Params) -> Pair:
    return market.pair(params.required("pair"))


def _count(params: Params, default: int, most: int) -> int:
    count = params.integer("count")
    if count is not None and not 1 <= count <= most:
        raise bad_argument("count")
    return count or default


def _since(params: Params) -> int | None:
    """Nanoseconds; what is too small for that is in seconds."""
    since = params.integer("since")
    if since is None:
        return None
    return since if since >= 10**15 else since * NS_PER_S


def _price(pair: Pair, price: Decimal) -> str:
    return f"{price:.{max(pair.pair_decimals, 5)}f}"

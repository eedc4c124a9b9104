"""The private methods that read what is: balances, positions, the key's own facts."""

from decimal import Decimal
from typing import Any

from sealane.simulator.clock import NS_PER_S, seconds
from sealane.simulator.context import Context
from sealane.simulator.facts import INTERNAL_ERROR, TOKEN_EXPIRES_S, Refused
from sealane.simulator.orders import ID_LETTERS
from sealane.simulator.params import Params

TOKEN_CHARS = 43


def balance(context: Context, _params: Params) -> dict[str, Any] | None:
    """Asset to amount, for every asset that was ever touched; None (no `result`) by switch when there is none."""
    rows = {asset: _written(context, asset, amount) for asset, amount in context.account.balances.items()}
    return rows if rows or context.switches.empty_balance_has_result else None


def balance_ex(context: Context, _params: Params) -> dict[str, Any] | None:
    """Asset to `{"balance", "hold_trade"}`."""
    held = context.account.held
    rows = {
        asset: {
            "balance": _written(context, asset, amount),
            "hold_trade": _written(context, asset, held.get(asset, Decimal(0))),
        }
        for asset, amount in context.account.balances.items()
    }
    return rows if rows or context.switches.empty_balance_has_result else None


def _written(context: Context, asset: str, amount: Decimal) -> str:
    return f"{amount:.{context.market.assets[asset].decimals}f}"


def trade_balance(context: Context, params: Params) -> dict[str, Any]:
    """Equity and margin in `asset` (default ZUSD), four decimals.

    `uv` is the value of what live orders hold; without margin the rest but eb, tb, e, mf is zero.
    """
    account = context.account
    if not account.balances and context.switches.empty_trade_balance_fails:
        raise Refused(INTERNAL_ERROR)
    unit = context.market.in_usd(context.market.asset(params.text("asset") or "ZUSD").name, Decimal(1))
    equity = f"{_worth(context, account.balances) / unit:.4f}"
    unexecuted = f"{_worth(context, account.held) / unit:.4f}"
    zeros = dict.fromkeys(("m", "n", "c", "v"), "0.0000")
    return {"eb": equity, "tb": equity, **zeros, "uv": unexecuted, "e": equity, "mf": equity}


def _worth(context: Context, amounts: dict[str, Decimal]) -> Decimal:
    return sum((context.market.in_usd(asset, amount) for asset, amount in amounts.items()), Decimal(0))


def open_positions(_context: Context, params: Params) -> dict[str, Any] | list[Any]:
    """Always empty, there is no margin here: an object, or consolidated by `market` a list."""
    return [] if params.text("consolidation") == "market" else {}


def websockets_token(context: Context, _params: Params) -> dict[str, Any]:
    """`{"token", "expires"}`; no WebSocket takes the token."""
    return {"token": "".join(context.ids.choices(ID_LETTERS, k=TOKEN_CHARS)), "expires": TOKEN_EXPIRES_S}


def api_key_info(context: Context, _params: Params) -> dict[str, Any]:
    """The key's own facts; times are unix seconds as text, `nonce` is text, `nonceWindow` is in nonce units."""
    account = context.account
    nonce = account.highest_nonce if context.switches.key_info_counts_itself else context.previous_nonce
    created = str(account.created_ns // NS_PER_S)
    return {
        "apiKeyName": account.name,
        "apiKey": account.public.api_key,
        "nonce": str(nonce),
        "nonceWindow": account.nonce_window,
        "permissions": sorted(account.permissions),
        "iban": "",
        "validUntil": str(account.valid_until_s),
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": created,
        "modifiedTime": created,
        "ipAllowlist": list(account.ip_allowlist),
        "lastUsed": str(int(seconds(account.last_used_ns))),
    }

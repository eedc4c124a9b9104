"""The control side: faults, state, journal, accounts. As Python calls and as JSON under `/sim/`.

    GET    /sim/accounts            the start-up document: names, keys and secrets
    POST   /sim/accounts/<name>     change one account: nonce, nonce_window, permissions, otp, balances
    GET    /sim/state               every account as it stands, without secrets
    POST   /sim/faults              add a fault rule
    GET    /sim/faults              the rules and what remains of them
    DELETE /sim/faults              drop all rules
    GET    /sim/journal             the request journal; ?limit=n and ?account=name
    DELETE /sim/journal             forget it
    POST   /sim/reset               everything as at the start, same keys

There is no authentication: the simulator listens on this machine only and has nothing worth stealing. What cannot be
done is answered with HTTP 400 and `{"error": "<field>: <what to do>"}`.
"""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from sealane.simulator.accounts import Account
from sealane.simulator.exchange import Exchange
from sealane.simulator.facts import ALL_PERMISSIONS, NONCE_LIMIT
from sealane.simulator.faults import ControlError
from sealane.simulator.http import Answer, Request
from sealane.simulator.params import parse_query

Json = dict[str, Any]
AMOUNT_LIMIT = Decimal(10) ** 15


class Control:
    """Looks into an exchange and changes it, from any thread."""

    def __init__(self, exchange: Exchange, url: Callable[[], str]) -> None:
        self.exchange = exchange
        self._url = url

    def accounts(self) -> Json:
        """The start-up document: `{"url", "accounts": [{"name", "api_key", "api_secret"}, …]}`."""
        return {"url": self._url(), "accounts": [account.document() for account in self.exchange.public_accounts]}

    def add_fault(self, rule: Json) -> Json:
        """Add a rule and give it back as kept; ControlError when it is not right."""
        with self.exchange.lock:
            return self.exchange.faults.add(rule).document()

    def faults(self) -> Json:
        """`{"faults": […]}` in the order in which they are tried."""
        with self.exchange.lock:
            return {"faults": self.exchange.faults.documents()}

    def clear_faults(self) -> Json:
        """Drop all rules; gives the empty list."""
        with self.exchange.lock:
            self.exchange.faults.clear()
            return self.faults()

    def journal(self, *, limit: int | None = None, account: str | None = None) -> Json:
        """`{"summary", "entries"}`; see `sealane.simulator.journal`."""
        with self.exchange.lock:
            summary = self.exchange.journal.summary()
            entries = self.exchange.journal.newest(limit=limit, account=account)
        # Written out without the lock: a long journal must not hold up the calls that it is about.
        return {"summary": summary, "entries": [entry.document() for entry in entries]}

    def clear_journal(self) -> Json:
        """Forget the journal; gives its empty summary."""
        with self.exchange.lock:
            self.exchange.journal.clear()
            return {"summary": self.exchange.journal.summary(), "entries": []}

    def reset(self) -> Json:
        """Everything as at the start; gives the state."""
        with self.exchange.lock:
            self.exchange.reset()
            return self.state()

    def state(self) -> Json:
        """`{"accounts": {name: {…}}, "prices": {pair: {"bid", "ask"}}, "faults": n}`, without secrets."""
        with self.exchange.lock:
            self.exchange.advance()
            quotes = self.exchange.market.quotes
            return {
                "accounts": {name: _account_state(account) for name, account in self.exchange.accounts.items()},
                "prices": {name: {"bid": str(quote.bid), "ask": str(quote.ask)} for name, quote in quotes.items()},
                "faults": len(self.exchange.faults.documents()),
            }

    def update_account(self, name: str, changes: Json) -> Json:
        """Change one account, all fields or none; gives its state. ControlError for an unknown name or field.

        `nonce` becomes its highest accepted one, `balances` replaces all balances (`{}` empties the account).
        """
        with self.exchange.lock:
            account = self.exchange.accounts.get(name)
            if account is None:
                raise ControlError(f"account: {name} is not here; use one of {', '.join(self.exchange.accounts)}")
            checked = [self._read_change(field, value) for field, value in changes.items()]
            for attribute, new in (item for change in checked for item in change.items()):
                setattr(account, attribute, new)
            return _account_state(account)

    def _read_change(self, field: str, value: Any) -> Json:
        """Check one field; the account's attributes that it sets."""
        readers: dict[str, Callable[[Any], Json]] = {
            "nonce": _read_nonce,
            "nonce_window": _read_window,
            "permissions": _read_permissions,
            "otp": _read_otp,
            "balances": self._read_balances,
        }
        if field not in readers:
            raise ControlError(f"{field}: cannot be changed; use {', '.join(readers)}")
        return readers[field](value)

    def _read_balances(self, value: Any) -> Json:
        if not isinstance(value, dict):
            raise ControlError('balances: give an object such as {"ZUSD": "100"}; {} empties the account')
        known = self.exchange.market.assets
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise ControlError(f"balances: {unknown[0]} is no asset here; use {', '.join(known)}")
        return {"balances": {asset: _read_amount(amount) for asset, amount in value.items()}}

    # --- over HTTP ---

    def handle(self, request: Request) -> Answer:
        """Answer a request under `/sim/`."""
        try:
            return _json(self._route(request))
        except ControlError as error:
            return _json({"error": str(error)}, 400)
        except LookupError:
            return _json({"error": f"{request.method} {request.path}: no such thing; see GET /sim/state"}, 404)

    def _route(self, request: Request) -> Json:
        if request.method == "POST" and request.path.startswith("/sim/accounts/"):
            return self.update_account(request.path.removeprefix("/sim/accounts/"), _body(request))
        routes: dict[tuple[str, str], Callable[[Request], Json]] = {
            ("GET", "/sim/accounts"): lambda _: self.accounts(),
            ("GET", "/sim/state"): lambda _: self.state(),
            ("POST", "/sim/faults"): lambda request: self.add_fault(_body(request)),
            ("GET", "/sim/faults"): lambda _: self.faults(),
            ("DELETE", "/sim/faults"): lambda _: self.clear_faults(),
            ("GET", "/sim/journal"): self._journal,
            ("DELETE", "/sim/journal"): lambda _: self.clear_journal(),
            ("POST", "/sim/reset"): lambda _: self.reset(),
        }
        return routes[request.method, request.path](request)

    def _journal(self, request: Request) -> Json:
        query = parse_query(request.query)
        limit, account = query.get("limit"), query.get("account")
        if limit is not None and not (limit.isascii() and limit.isdecimal()):
            raise ControlError("limit: give a whole number of 0 or more")
        return self.journal(limit=None if limit is None else int(limit), account=account)


def _account_state(account: Account) -> Json:
    return {
        "api_key": f"…{account.public.api_key[-4:]}",
        "balances": {asset: str(amount) for asset, amount in account.balances.items()},
        "held": {asset: str(amount) for asset, amount in account.held.items() if amount},
        "highest_nonce": str(account.highest_nonce),
        "nonce_window": account.nonce_window,
        "permissions": sorted(account.permissions),
        "otp_required": account.otp is not None,
        "open_orders": len(account.open),
        "closed_orders": len(account.closed),
        "orders": {
            order.txid: order.document(trades=True) for order in (*account.open.values(), *account.closed.values())
        },
    }


def _json(document: Json, status: int = 200) -> Answer:
    return Answer(json.dumps(document).encode(), status)


def _body(request: Request) -> Json:
    try:
        document = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise ControlError("body: not JSON; send an object") from None
    if not isinstance(document, dict):
        raise ControlError("body: send a JSON object")
    return document


def _read_nonce(value: Any) -> Json:
    text = str(value)
    if isinstance(value, (bool, float)) or not (text.isascii() and text.isdecimal() and int(text[:20]) < NONCE_LIMIT):
        raise ControlError("nonce: give a whole number below 2**63, as text")
    return {"highest_nonce": int(text), "window_nonces": set()}


def _read_window(value: Any) -> Json:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ControlError("nonce_window: give a whole number of nonce units, 0 or more")
    return {"nonce_window": value, "window_nonces": set()}


def _read_permissions(value: Any) -> Json:
    if not isinstance(value, (list, tuple, set, frozenset)) or not set(value) <= set(ALL_PERMISSIONS):
        raise ControlError(f"permissions: give a list out of {', '.join(ALL_PERMISSIONS)}")
    return {"permissions": frozenset(value)}


def _read_otp(value: Any) -> Json:
    if value is not None and (not isinstance(value, str) or not value):
        raise ControlError("otp: give the password as text, or null for none")
    return {"otp": value}


def _read_amount(value: Any) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= AMOUNT_LIMIT:
        raise ControlError(f"balances: {value!r} is no amount; give text such as '100.25'")
    return amount

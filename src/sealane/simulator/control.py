"""The control side: faults, state, journal, accounts. As Python calls and as JSON under `/sim/`,
whose calls `control_calls.py` lists.

There is no authentication: the simulator listens on this machine only and has nothing worth stealing. What cannot be
done is answered with HTTP 400 and `{"error": "<field>: <what to do>"}`.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

from sealane.simulator import audit, snapshot, switching
from sealane.simulator.accounts import Account
from sealane.simulator.control_calls import CONTROL_CALLS
from sealane.simulator.exchange import Exchange, State
from sealane.simulator.facts import ALL_PERMISSIONS, NONCE_LIMIT
from sealane.simulator.fault_fields import ControlError, is_number
from sealane.simulator.http import Answer, Request
from sealane.simulator.limits import TIERS
from sealane.simulator.params import parse_query

Json = dict[str, Any]
AMOUNT_LIMIT = Decimal(10) ** 15
ADVANCE_MAX_S = 10 * 366 * 86_400


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
            return self.exchange.faults.add(rule, now_ns=self.exchange.clock.now_ns()).document()

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
            self.exchange.settle()
            summary = self.exchange.summary()
            entries = self.exchange.journal.newest(limit=limit, account=account)
        # Written out without the lock: a long journal must not hold up the calls that it is about.
        return {"summary": summary, "entries": [entry.document() for entry in entries]}

    def clear_journal(self) -> Json:
        """Forget the journal; gives its empty summary."""
        with self.exchange.lock:
            self.exchange.journal.clear()
            return {"summary": self.exchange.summary(), "entries": []}

    def reset(self) -> Json:
        """Everything as at the start; gives the state."""
        with self.exchange.lock:
            self.exchange.reset()
            return self.state()

    def state(self) -> Json:
        """`{"accounts": {name: {…}}, "prices": {pair: {"bid", "ask"}}, "faults": n, "system": {…}}`, no secrets."""
        with self.exchange.lock:
            self.exchange.settle()
            quotes = self.exchange.market.quotes
            return {
                "accounts": {name: self._account_state(account) for name, account in self.exchange.accounts.items()},
                "prices": {name: {"bid": str(quote.bid), "ask": str(quote.ask)} for name, quote in quotes.items()},
                "faults": len(self.exchange.faults.documents()),
                "system": self.exchange.system.document(),
            }

    def update_account(self, name: str, changes: Json) -> Json:
        """Change one account, all fields or none; gives its state. ControlError for an unknown name or field.

        `nonce` becomes its highest accepted one, `balances` replaces all balances (`{}` empties the account).
        """
        with self.exchange.lock:
            account = self.exchange.accounts.get(name)
            if account is None:
                raise ControlError(f"account: {name} is not here; use one of {', '.join(self.exchange.accounts)}")
            tier = _read_tier(changes)
            checked = [self._read_change(field, value) for field, value in changes.items() if field != "tier"]
            attributes = {name: new for change in checked for name, new in change.items()}
            self._excuse(account, attributes)
            for attribute, new in attributes.items():
                setattr(account, attribute, new)
            if tier is not None:
                self.exchange.limits.set_tier(name, tier, self.exchange.clock.now_ns())
            return self._account_state(account)

    def _excuse(self, account: Account, attributes: Json) -> None:
        """Nonces may fall after the highest one was lowered or the window opened: that is no fault of the check."""
        if attributes.get("highest_nonce", account.highest_nonce) < account.highest_nonce:
            self.exchange.journal.excuse(account.name)
        if attributes.get("nonce_window"):
            self.exchange.journal.excuse(account.name)

    def _account_state(self, account: Account) -> Json:
        limits = self.exchange.limits.document(account.name, self.exchange.clock.now_ns())
        return _account_state(account) | {"limits": limits}

    def _read_change(self, field: str, value: Any) -> Json:
        """Check one field; the account's attributes that it sets."""
        readers: dict[str, Callable[[Any], Json]] = {
            "nonce": _read_nonce,
            "nonce_window": _read_window,
            "permissions": _read_permissions,
            "otp": _read_otp,
            "balances": self._read_balances,
            "ip_allowlist": _read_addresses,
            "valid_until": _read_valid_until,
        }
        if field not in readers:
            raise ControlError(f"{field}: cannot be changed; use {', '.join(readers)}, tier")
        return readers[field](value)

    def _read_balances(self, value: Any) -> Json:
        if not isinstance(value, dict):
            raise ControlError('balances: give an object such as {"ZUSD": "100"}; {} empties the account')
        known = self.exchange.market.assets
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise ControlError(f"balances: {unknown[0]} is no asset here; use {', '.join(known)}")
        return {"balances": {asset: _read_amount(amount) for asset, amount in value.items()}}

    # --- system, time, snapshots ---

    def audit(self) -> Json:
        """`{"findings": […]}`: sentences about what the simulator did wrong by its own rules; none is good."""
        with self.exchange.lock:
            self.exchange.settle()
            return {"findings": audit.findings(self.exchange)}

    def status(self) -> Json:
        """`{"status", "pairs": {name: state}}`; pairs that are online are left out."""
        with self.exchange.lock:
            return self.exchange.system.document()

    def set_status(self, wanted: Json) -> Json:
        """Change `status`, `pairs`, or both; ControlError for an unknown state or pair."""
        pairs = wanted.get("pairs") or {}
        if set(wanted) - {"status", "pairs"} or not isinstance(pairs, dict):
            raise ControlError('status: give {"status": "cancel_only"} or {"pairs": {"XBTUSD": "post_only"}} or both')
        with self.exchange.lock:
            named = {self.exchange.pair_name(spelling) or "": state for spelling, state in pairs.items()}
            if "" in named:
                raise ControlError(f"pairs: one of {', '.join(pairs)} is not here; use pairs such as XBTUSD")
            try:
                self.exchange.system.change(wanted.get("status"), named)
            except ValueError as error:
                raise ControlError(str(error)) from None
            return self.status()

    def switches(self) -> Json:
        """Every field of `Switches` with its value."""
        with self.exchange.lock:
            return asdict(self.exchange.switches)

    def set_switches(self, changes: Json) -> Json:
        """Change switches, all or none; gives all of them. ControlError for an unknown name or a wrong value."""
        with self.exchange.lock:
            self.exchange.settle()
            self.exchange.set_switches(switching.changed(self.exchange.switches, changes))
            return self.switches()

    def time(self) -> Json:
        """`{"mode", "now_ns", "now", "ahead_s"}`; the mode is real, moved or frozen."""
        with self.exchange.lock:
            return self.exchange.clock.document()

    def set_time(self, wanted: Json) -> Json:
        """Freeze the clock, advance it, or make it real again; ControlError when it is none of the three."""
        step: Any = wanted.get("advance_s")
        if is_number(step) and not 0 <= step <= ADVANCE_MAX_S:
            raise ControlError(f"advance_s: {step} is out of range; give seconds from 0 to {ADVANCE_MAX_S} (10 years)")
        if len(wanted) != 1 or not self._set_time(*next(iter(wanted.items()))):
            raise ControlError('time: give one of {"freeze": true}, {"advance_s": 10} and {"real": true}')
        return self.time()

    def _set_time(self, word: str, value: Any) -> bool:
        with self.exchange.lock:
            if word == "advance_s" and is_number(value):
                self.exchange.pass_time(value)
            elif word == "freeze" and value is True:
                self.exchange.clock.freeze()
            elif word == "real" and value is True:
                self.exchange.clock.real()
            else:
                return False
            self.exchange.settle()
            self.exchange.timetable.changed()
            return True

    def snapshot(self) -> Json:
        """Everything that a run changes as one JSON document, with the accounts' secrets."""
        with self.exchange.lock:
            self.exchange.settle()
            return snapshot.dump(self.exchange.state())

    def restore(self, document: Json) -> Json:
        """Go on from a snapshot; gives the state. ControlError when it is none, and nothing has changed then."""
        try:
            state = snapshot.load(document)
        except ValueError as error:
            raise ControlError(str(error)) from None
        if not isinstance(state, State) or not state.is_whole():
            raise ControlError("snapshot: holds no state of a simulator")
        with self.exchange.lock:
            self.exchange.restore(state)
            return self.state()

    # --- over HTTP ---

    def handle(self, request: Request) -> Answer:
        """Answer a request under `/sim/`."""
        try:
            return _json(self._route(request))
        except ControlError as error:
            return _json({"error": str(error)}, 400)
        except LookupError:
            return _json({"error": f"{request.method} {request.path}: no such thing; see GET /sim/"}, 404)

    def _route(self, request: Request) -> Json:
        path = request.path if request.path != "/sim" else "/sim/"
        if path.startswith("/sim/accounts/"):
            path = "/sim/accounts/<name>"
        return self.routes()[request.method, path](request)

    def routes(self) -> dict[tuple[str, str], Callable[[Request], Json]]:
        """What answers each of `CONTROL_CALLS`."""
        return {
            ("GET", "/sim/"): lambda _: {"calls": [call._asdict() for call in CONTROL_CALLS]},
            ("POST", "/sim/accounts/<name>"): self._update_account,
            ("GET", "/sim/accounts"): lambda _: self.accounts(),
            ("GET", "/sim/state"): lambda _: self.state(),
            ("POST", "/sim/faults"): lambda request: self.add_fault(_body(request)),
            ("GET", "/sim/faults"): lambda _: self.faults(),
            ("DELETE", "/sim/faults"): lambda _: self.clear_faults(),
            ("GET", "/sim/journal"): self._journal,
            ("DELETE", "/sim/journal"): lambda _: self.clear_journal(),
            ("GET", "/sim/audit"): lambda _: self.audit(),
            ("GET", "/sim/status"): lambda _: self.status(),
            ("POST", "/sim/status"): lambda request: self.set_status(_body(request)),
            ("GET", "/sim/switches"): lambda _: self.switches(),
            ("POST", "/sim/switches"): lambda request: self.set_switches(_body(request)),
            ("GET", "/sim/time"): lambda _: self.time(),
            ("POST", "/sim/time"): lambda request: self.set_time(_body(request)),
            ("GET", "/sim/snapshot"): lambda _: self.snapshot(),
            ("POST", "/sim/snapshot"): lambda request: self.restore(_body(request)),
            ("POST", "/sim/reset"): lambda _: self.reset(),
        }

    def _update_account(self, request: Request) -> Json:
        return self.update_account(request.path.removeprefix("/sim/accounts/"), _body(request))

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


def _read_addresses(value: Any) -> Json:
    """Shown by GetApiKeyInfo, and nothing else: every caller here comes from loopback."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ControlError("ip_allowlist: give a list of addresses as text, [] for none")
    return {"ip_allowlist": tuple(value)}


def _read_valid_until(value: Any) -> Json:
    """Shown by GetApiKeyInfo, and nothing else: how Kraken refuses a key that expired is not documented."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ControlError("valid_until: give Unix seconds as a whole number, 0 for no end")
    return {"valid_until_s": value}


def _read_tier(changes: Json) -> str | None:
    tier = changes.get("tier")
    if "tier" in changes and (not isinstance(tier, str) or tier not in TIERS):
        raise ControlError(f"tier: {tier!r} is none; use one of {', '.join(TIERS)}")
    return tier


def _read_amount(value: Any) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= AMOUNT_LIMIT:
        raise ControlError(f"balances: {value!r} is no amount; give text such as '100.25'")
    return amount

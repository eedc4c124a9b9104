"""Fault rules: what goes wrong on the way, for which calls, how often.

A rule is checked field by field when it is added, so that a test with a typing mistake fails at once instead of
running without its fault. The first rule that fits a call is used; one call meets at most one fault.

Does a fault happen before or after the exchange has carried the call out? That is the whole question for a client
whose answer was lost, so every kind says it:

- `drop_before`, `http_before`: nothing was carried out. `drop_after`, `http_after`, `half`: it was.
- `html`, `hang`: as `applied` says (default: not carried out).
- `error`: not carried out, but the call passes the usual checks first and its nonce is used up, unless
  `consume_nonce` is false: then the error comes before any check.
- `delay`: the call reaches the exchange `delay_s` late, also when its client has hung up by then.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS: dict[str, frozenset[str]] = {  # kind -> the fields it takes besides the common ones
    "drop_before": frozenset(),
    "drop_after": frozenset(),
    "http_before": frozenset({"status", "body"}),
    "http_after": frozenset({"status", "body"}),
    "html": frozenset({"status", "applied"}),
    "hang": frozenset({"hang_s", "applied"}),
    "error": frozenset({"error", "consume_nonce"}),
    "half": frozenset(),
    "delay": frozenset({"delay_s"}),
}
COMMON = frozenset({"kind", "methods", "account", "count", "probability"})
APPLIED = frozenset({"drop_after", "http_after", "half", "delay"})
WAIT_MAX_S = 86_400.0
HANG_DEFAULT_S = 3_600.0
HTTP_DEFAULT_STATUS = {"html": 502}
ERROR_FORM = "an error string of Kraken's form, for example EService:Busy"


class ControlError(ValueError):
    """A control request that cannot be carried out; the text names the field and what to do about it."""


@dataclass
class Fault:
    """A rule as it is kept. `methods` None means every private method, `remaining` None means without end."""

    id: int
    kind: str
    methods: frozenset[str] | None
    account: str | None
    remaining: int | None
    probability: float | None
    status: int
    body: str
    error: str
    hang_s: float
    delay_s: float
    applied: bool
    consume_nonce: bool

    def fits(self, method: str, account: str | None, *, private: bool) -> bool:
        """Whether the rule is for this call. Public calls are only hit by rules that name their method."""
        if self.remaining == 0 or (self.account is not None and self.account != account):
            return False
        return private if self.methods is None else method in self.methods

    def document(self) -> dict[str, Any]:
        """The rule as JSON, with the fields that its kind takes."""
        shown: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "methods": None if self.methods is None else sorted(self.methods),
            "account": self.account,
            "remaining": self.remaining,
            "probability": self.probability,
        }
        return shown | {name: getattr(self, name) for name in sorted(KINDS[self.kind])}


class FaultRules:
    """The rules in force. Rolls of the dice come from the seed; the same calls meet the same faults."""

    def __init__(self, seed: int, methods: Iterable[str], accounts: Iterable[str]) -> None:
        self._seed, self._methods, self._accounts = seed, frozenset(methods), frozenset(accounts)
        self.reset()

    def reset(self) -> None:
        """As at the start: no rules, the dice rolled back."""
        self._rng = random.Random(f"faults {self._seed}")
        self._numbers = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Drop all rules."""
        self._rules: list[Fault] = []

    def add(self, rule: Mapping[str, Any]) -> Fault:
        """Check a rule and put it in force; ControlError names what is wrong with it."""
        fault = self._read(rule)
        self._rules.append(fault)
        return fault

    def pick(self, method: str, account: str | None, *, private: bool) -> Fault | None:
        """The fault that this call meets, counted down, or None."""
        for rule in self._rules:
            if rule.fits(method, account, private=private) and self._strikes(rule):
                if rule.remaining is not None:
                    rule.remaining -= 1
                return rule
        return None

    def _strikes(self, rule: Fault) -> bool:
        return rule.probability is None or self._rng.random() < rule.probability

    def documents(self) -> list[dict[str, Any]]:
        """All rules with what remains of them, in the order in which they are tried."""
        return [rule.document() for rule in self._rules]

    def _read(self, rule: Mapping[str, Any]) -> Fault:
        kind = rule.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ControlError(f"kind: {kind!r} is no fault; use one of {', '.join(KINDS)}")
        _refuse_other_fields(kind, rule)
        probability = _read_probability(rule)
        count = 1 if probability is None else None
        return Fault(
            id=next(self._numbers),
            kind=kind,
            methods=self._read_methods(rule.get("methods")),
            account=self._read_account(rule.get("account")),
            remaining=_field(rule, "count", count, _is_count, "a whole number of 1 or more"),
            probability=probability,
            status=_field(rule, "status", HTTP_DEFAULT_STATUS.get(kind, 503), _is_status, "an HTTP status 400 to 599"),
            body=_field(rule, "body", "", _is_text, "text"),
            error=_read_error(kind, rule),
            hang_s=_field(rule, "hang_s", HANG_DEFAULT_S, _is_wait, f"seconds above 0, up to {WAIT_MAX_S:.0f}"),
            delay_s=_read_delay(kind, rule),
            applied=_field(rule, "applied", kind in APPLIED, _is_bool, "true or false"),
            consume_nonce=_field(rule, "consume_nonce", True, _is_bool, "true or false"),
        )

    def _read_methods(self, methods: Any) -> frozenset[str] | None:
        if methods is None or methods in ("*", ["*"]):
            return None
        if not isinstance(methods, (list, tuple)) or not methods or not all(map(_is_text, methods)):
            raise ControlError('methods: give a list such as ["AddOrder"], or null for every private method')
        unknown = sorted(set(methods) - self._methods)
        if unknown:
            raise ControlError(f"methods: {', '.join(unknown)}: no such method; write it as in Kraken's URL: AddOrder")
        return frozenset(methods)

    def _read_account(self, account: Any) -> str | None:
        if account is None or (isinstance(account, str) and account in self._accounts):
            return account
        raise ControlError(f"account: {account!r} is not here; use one of {', '.join(sorted(self._accounts))}, or null")


def _refuse_other_fields(kind: str, rule: Mapping[str, Any]) -> None:
    other = sorted(set(rule) - COMMON - KINDS[kind])
    if other:
        allowed = ", ".join(sorted(COMMON | KINDS[kind]))
        raise ControlError(f"{other[0]}: the kind {kind} does not take it; it takes {allowed}")


def _read_probability(rule: Mapping[str, Any]) -> float | None:
    if rule.get("probability") is not None and rule.get("count") is not None:
        raise ControlError("count: give either count or probability; drop one of them")
    value = _field(rule, "probability", None, _is_probability, "a number above 0, up to 1")
    return None if value is None else float(value)


def _read_error(kind: str, rule: Mapping[str, Any]) -> str:
    if kind == "error" and "error" not in rule:
        raise ControlError(f"error: missing; give {ERROR_FORM}")
    return str(_field(rule, "error", "", _is_error, ERROR_FORM))


def _read_delay(kind: str, rule: Mapping[str, Any]) -> float:
    if kind == "delay" and "delay_s" not in rule:
        raise ControlError("delay_s: missing; give the seconds by which the call is late, for example 0.5")
    return float(_field(rule, "delay_s", 0.0, _is_wait, f"seconds above 0, up to {WAIT_MAX_S:.0f}"))


def _field(rule: Mapping[str, Any], name: str, default: Any, good: Callable[[Any], bool], form: str) -> Any:
    value = rule.get(name)
    if value is None:
        return default
    if not good(value):
        raise ControlError(f"{name}: {value!r} is not right; give {form}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_status(value: Any) -> bool:
    return _is_count(value) and 400 <= value <= 599


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_wait(value: Any) -> bool:
    return _is_number(value) and 0 < value <= WAIT_MAX_S


def _is_probability(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


def _is_error(value: Any) -> bool:
    return _is_text(value) and value[:1] in ("E", "W") and ":" in value

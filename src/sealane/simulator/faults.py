"""Fault rules: what goes wrong on the way, for which calls, how often.

A rule is checked field by field when it is added (`fault_fields.py`), so that a test with a typing mistake fails at
once instead of running without its fault. The first rule that fits a call is used; one call meets at most one fault.

Does a fault happen before or after the exchange has carried the call out? That is the whole question for a client
whose answer was lost, so every kind says it:

- `drop_before`, `http_before`: nothing was carried out. `drop_after`, `http_after`, `half`: it was. The connection of a
  dropped call is closed in order, or torn down (`reset`).
- `html`, `hang`: as `applied` says (default: not carried out).
- `error`: not carried out, but the call passes the usual checks first and its nonce is used up, unless
  `consume_nonce` is false: then the error comes before any check.
- `delay`: the call reaches the exchange `delay_s` late, also when its client has hung up by then.
- `late`: the same after `late_s`, while its client has been told `answer` (drop, http, html, hang) at once. If the
  key accepts a higher nonce meanwhile, the call is refused when it arrives, and nobody sees it.
- `hidden`: carried out, but for `hidden_s` no look-up shows the orders that it made; its answer is `answer`.
- `slow`: carried out, and the answer's body comes in pieces over `slow_s`.
- `warning`: carried out, with a warning beside the result.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sealane.simulator.clock import NS_PER_S
from sealane.simulator.fault_fields import (
    KINDS,
    ORDERING,
    WAITS,
    ControlError,
    read_effect,
    read_kind,
    read_methods,
    read_often,
)


@dataclass
class Fault:
    """A rule as it is kept. `methods` None means every private method, `remaining` None means without end.

    `seen` counts the calls that fitted; the first `after_calls` of them are spared. `when_s` is from and until, in
    seconds after `added_ns`. `wait_s` is the delay_s, late_s, hidden_s or slow_s of its kind.
    """

    id: int
    kind: str
    methods: frozenset[str] | None
    account: str | None
    pair: str | None
    remaining: int | None
    probability: float | None
    after_calls: int
    when_s: tuple[float, float] | None
    status: int
    body: str
    error: str
    hang_s: float
    wait_s: float
    answer: str
    warning: str
    applied: bool
    consume_nonce: bool
    reset: bool = False
    added_ns: int = 0
    seen: int = 0

    def fits(self, method: str, account: str | None, pair: str | None, now_ns: int, *, private: bool) -> bool:
        """Whether the rule is for this call. Public calls are only hit by rules that name their method."""
        if self.remaining == 0 or (self.account is not None and self.account != account):
            return False
        if (self.pair is not None and self.pair != pair) or not self._in_time(now_ns):
            return False
        return private if self.methods is None else method in self.methods

    def _in_time(self, now_ns: int) -> bool:
        if self.when_s is None:
            return True
        passed_s = (now_ns - self.added_ns) / NS_PER_S
        return self.when_s[0] <= passed_s < self.when_s[1]

    def document(self) -> dict[str, Any]:
        """The rule as JSON, with the fields that its kind takes."""
        shown: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "methods": None if self.methods is None else sorted(self.methods),
            "account": self.account,
            "pair": self.pair,
            "remaining": self.remaining,
            "probability": self.probability,
            "after_calls": self.after_calls,
            "when": None if self.when_s is None else list(self.when_s),
        }
        wait_name = WAITS[self.kind][0] if self.kind in WAITS else ""
        effect = {name: getattr(self, "wait_s" if name == wait_name else name) for name in sorted(KINDS[self.kind])}
        return shown | effect


@dataclass
class FaultState:
    """What a run changes: the rules with their counts, and the dice."""

    rng: random.Random
    rules: list[Fault] = field(default_factory=list)
    numbered: int = 0


class FaultRules:
    """The rules in force. Rolls of the dice come from the seed; the same calls meet the same faults.

    `pair_name` gives a pair's internal name for any spelling, None for a pair that is not here.
    """

    def __init__(
        self,
        seed: int,
        methods: Iterable[str],
        accounts: Iterable[str],
        pair_name: Callable[[str], str | None] = lambda spelling: spelling,
    ) -> None:
        self._seed, self._methods, self._accounts = seed, frozenset(methods), frozenset(accounts)
        self._pair_name = pair_name
        self.reset()

    def reset(self) -> None:
        """As at the start: no rules, the dice rolled back."""
        self.state = FaultState(random.Random(f"faults {self._seed}"))

    def clear(self) -> None:
        """Drop all rules."""
        self.state.rules = []

    def add(self, rule: Mapping[str, Any], *, now_ns: int = 0) -> Fault:
        """Check a rule and put it in force from `now_ns` on; ControlError names what is wrong with it."""
        fault = self._read(rule, now_ns)
        self.state.numbered = fault.id
        self.state.rules.append(fault)
        return fault

    def pick(
        self, method: str, account: str | None, *, private: bool, pair: str | None = None, now_ns: int = 0
    ) -> Fault | None:
        """The fault that this call meets, counted down, or None. `pair` is the internal name of the pair it names."""
        for rule in self.state.rules:
            if rule.fits(method, account, pair, now_ns, private=private) and self._strikes(rule):
                if rule.remaining is not None:
                    rule.remaining -= 1
                return rule
        return None

    def _strikes(self, rule: Fault) -> bool:
        rule.seen += 1
        if rule.seen <= rule.after_calls:
            return False
        return rule.probability is None or self.state.rng.random() < rule.probability

    def documents(self) -> list[dict[str, Any]]:
        """All rules with what remains of them, in the order in which they are tried."""
        return [rule.document() for rule in self.state.rules]

    def _read(self, rule: Mapping[str, Any], now_ns: int) -> Fault:
        kind = read_kind(rule)
        methods = read_methods(rule.get("methods"), self._methods)
        return Fault(
            id=self.state.numbered + 1,
            kind=kind,
            methods=ORDERING if kind == "hidden" and methods is None else methods,
            account=self._read_account(rule.get("account")),
            pair=self._read_pair(rule.get("pair")),
            **read_often(rule),
            **read_effect(kind, rule),
            added_ns=now_ns,
        )

    def _read_account(self, account: Any) -> str | None:
        if account is None or (isinstance(account, str) and account in self._accounts):
            return account
        raise ControlError(f"account: {account!r} is not here; use one of {', '.join(sorted(self._accounts))}, or null")

    def _read_pair(self, spelling: Any) -> str | None:
        if spelling is None:
            return None
        name = self._pair_name(spelling) if isinstance(spelling, str) else None
        if name is None:
            raise ControlError(f"pair: {spelling!r} is not here; use a pair such as XBTUSD, or null")
        return name

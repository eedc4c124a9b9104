"""Fault rules as they are given: read and checked field by field.

A rule with a typing mistake fails when it is added, not by a test that runs without its fault.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sealane.simulator.facts import SIMULATED_WARNING

ANSWERS = ("normal", "drop", "http", "html", "hang")
KINDS: dict[str, frozenset[str]] = {  # kind -> the fields it takes besides the common ones
    "drop_before": frozenset({"reset"}),
    "drop_after": frozenset({"reset"}),
    "http_before": frozenset({"status", "body"}),
    "http_after": frozenset({"status", "body"}),
    "html": frozenset({"status", "applied"}),
    "hang": frozenset({"hang_s", "applied"}),
    "error": frozenset({"error", "consume_nonce"}),
    "half": frozenset(),
    "delay": frozenset({"delay_s"}),
    "late": frozenset({"late_s", "answer", "status", "body", "hang_s"}),
    "hidden": frozenset({"hidden_s", "answer", "status", "body", "hang_s"}),
    "slow": frozenset({"slow_s"}),
    "warning": frozenset({"warning"}),
}
COMMON = frozenset({"kind", "methods", "account", "pair", "count", "probability", "nth", "after_calls", "when"})
APPLIED = frozenset({"drop_after", "http_after", "half", "delay", "hidden", "slow", "warning"})
ORDERING = frozenset({"AddOrder", "AddOrderBatch", "EditOrder"})  # the calls that make orders
WAIT_MAX_S = 86_400.0
HANG_DEFAULT_S = 3_600.0
HTTP_DEFAULT_STATUS = {"html": 502}
ERROR_FORM = "an error string of Kraken's form, for example EService:Busy"
WAIT_FORM = f"seconds above 0, up to {WAIT_MAX_S:.0f}"
WAITS = {  # kind -> the wait without which it means nothing
    "delay": ("delay_s", "the seconds by which the call is late, for example 0.5"),
    "late": ("late_s", "the seconds after which the call is applied, for example 5"),
    "hidden": ("hidden_s", "the seconds for which look-ups do not show the order, for example 30"),
    "slow": ("slow_s", "the seconds over which the answer trickles in, for example 2"),
}


class ControlError(ValueError):
    """A control request that cannot be carried out; the text names the field and what to do about it."""


def read_kind(rule: Mapping[str, Any]) -> str:
    """The kind of a rule, once it is known that it takes all the fields that are given."""
    kind = rule.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ControlError(f"kind: {kind!r} is no fault; use one of {', '.join(KINDS)}")
    other = sorted(set(rule) - COMMON - KINDS[kind])
    if other:
        allowed = ", ".join(sorted(COMMON | KINDS[kind]))
        raise ControlError(f"{other[0]}: the kind {kind} does not take it; it takes {allowed}")
    return kind


def read_often(rule: Mapping[str, Any]) -> dict[str, Any]:
    """How often and when: `remaining`, `probability`, `after_calls`, `when_s`."""
    probability, nth = read_probability(rule), field(rule, "nth", None, is_count, "a whole number of 1 or more")
    if nth is not None and any(rule.get(name) is not None for name in ("count", "probability", "after_calls")):
        raise ControlError("nth: means one call; drop count, probability and after_calls")
    count = field(rule, "count", 1 if probability is None else None, is_count, "a whole number of 1 or more")
    after = field(rule, "after_calls", 0 if nth is None else nth - 1, is_whole, "a whole number of 0 or more")
    when = field(rule, "when", None, is_span, "[from, until] in seconds from now, for example [5, 10]")
    span = None if when is None else (float(when[0]), float(when[1]))
    return {"remaining": count, "probability": probability, "after_calls": after, "when_s": span}


def read_effect(kind: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What the kind does, with its defaults."""
    return {
        "status": field(rule, "status", HTTP_DEFAULT_STATUS.get(kind, 503), is_status, "an HTTP status 400 to 599"),
        "body": field(rule, "body", "", is_text, "text"),
        "error": read_error(kind, rule),
        "hang_s": field(rule, "hang_s", HANG_DEFAULT_S, is_wait, WAIT_FORM),
        "wait_s": read_wait(kind, rule),
        "answer": read_answer(kind, rule),
        "warning": field(rule, "warning", SIMULATED_WARNING, is_warning, "text such as WGeneral:Danger"),
        "reset": field(rule, "reset", False, is_bool, "true or false"),
        "applied": field(rule, "applied", kind in APPLIED, is_bool, "true or false"),
        "consume_nonce": field(rule, "consume_nonce", True, is_bool, "true or false"),
    }


def read_probability(rule: Mapping[str, Any]) -> float | None:
    """The share of calls that are hit, or None when the rule counts."""
    if rule.get("probability") is not None and rule.get("count") is not None:
        raise ControlError("count: give either count or probability; drop one of them")
    value = field(rule, "probability", None, is_probability, "a number above 0, up to 1")
    return None if value is None else float(value)


def read_error(kind: str, rule: Mapping[str, Any]) -> str:
    """The error text, which the kind `error` must have."""
    if kind == "error" and "error" not in rule:
        raise ControlError(f"error: missing; give {ERROR_FORM}")
    return str(field(rule, "error", "", is_error, ERROR_FORM))


def read_wait(kind: str, rule: Mapping[str, Any]) -> float:
    """The wait that makes the kind what it is; 0 for the other kinds."""
    if kind not in WAITS:
        return 0.0
    name, meaning = WAITS[kind]
    if name not in rule:
        raise ControlError(f"{name}: missing; give {meaning}")
    return float(field(rule, name, 0.0, is_wait, WAIT_FORM))


def read_answer(kind: str, rule: Mapping[str, Any]) -> str:
    """What the client hears meanwhile: a late call has no normal answer."""
    allowed = ANSWERS[1:] if kind == "late" else ANSWERS
    default = "drop" if kind == "late" else "normal"
    return str(field(rule, "answer", default, lambda value: value in allowed, f"one of {', '.join(allowed)}"))


def read_methods(methods: Any, known: frozenset[str]) -> frozenset[str] | None:
    """The methods that the rule is for; None means every private one."""
    if methods is None or methods in ("*", ["*"]):
        return None
    if not isinstance(methods, (list, tuple)) or not methods or not all(map(is_text, methods)):
        raise ControlError('methods: give a list such as ["AddOrder"], or null for every private method')
    unknown = sorted(set(methods) - known)
    if unknown:
        raise ControlError(f"methods: {', '.join(unknown)}: no such method; write it as in Kraken's URL: AddOrder")
    return frozenset(methods)


def field(rule: Mapping[str, Any], name: str, default: Any, good: Callable[[Any], bool], form: str) -> Any:
    """One field of a rule, or its default when it is missing or null; ControlError says what form it has."""
    value = rule.get(name)
    if value is None:
        return default
    if not good(value):
        raise ControlError(f"{name}: {value!r} is not right; give {form}")
    return value


def is_number(value: Any) -> bool:
    """Whether it is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether it is a whole number of 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_status(value: Any) -> bool:
    """Whether it is the status of an HTTP error."""
    return is_count(value) and 400 <= value <= 599


def is_text(value: Any) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def is_bool(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_wait(value: Any) -> bool:
    """Whether it is a time to wait, in seconds."""
    return is_number(value) and 0 < value <= WAIT_MAX_S


def is_probability(value: Any) -> bool:
    """Whether it is a share above 0."""
    return is_number(value) and 0 < value <= 1


def is_error(value: Any) -> bool:
    """Whether it has the form of an error or a warning."""
    return is_text(value) and value[:1] in ("E", "W") and ":" in value


def is_warning(value: Any) -> bool:
    """Whether it has the form of a warning."""
    return is_error(value) and bool(value.startswith("W"))


def is_whole(value: Any) -> bool:
    """Whether it is a whole number of 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_span(value: Any) -> bool:
    """Whether it is a pair of times in seconds, the second after the first."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]

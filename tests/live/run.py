"""Ask everything in the plan, once, and compare."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from live import plan
from live.drift import Check, Report
from live.gate import GatedTransport
from sealane import Kraken
from sealane.errors import InDoubt, Refused, Unavailable
from sealane.simulator import Probe, Simulator
from sealane.transport.http import HttpTransport
from shapes.forms import Shape, check, unseen
from shapes.private_answers import PRIVATE_ANSWERS
from shapes.public_answers import PUBLIC_ANSWERS

Rows = dict[str, dict[str, Any]]
MISSING = "no such field"


def compare(url: str, started_at: datetime, pause: Callable[[], None]) -> Report:
    """Run the plan with the key in the environment; `pause` is called before each request.

    Raises Forbidden before anything is sent that is not on the allow list, and what ``Kraken`` raises but for
    refusals and missing answers, which are part of the report.
    """
    transport = GatedTransport(HttpTransport(url), pause)
    with Kraken.from_env(transport=transport) as kraken:
        checks = [*_public(kraken), *_private(kraken), *(_refusal(kraken, each) for each in plan.REFUSALS)]
    return Report(url, started_at.isoformat("T", "seconds"), Counter(transport.sent), checks)


def _public(kraken: Kraken) -> list[Check]:
    checks, answers = [], {}
    for method, fields in plan.PUBLIC.items():
        answers[method], trouble = _ask(kraken.public, method, fields)
        checks.append(trouble or _answer(method, PUBLIC_ANSWERS[method], answers[method]))
    return [*checks, *_numbers(answers)]


def _private(kraken: Kraken) -> list[Check]:
    checks: list[Check] = []
    answers: dict[str, Any] = {}
    for method, asked in plan.PRIVATE.items():
        fields = asked(answers)
        if fields is None:
            checks.append(Check(method, "answer", "not shown", ("the account has nothing to ask for",)))
            continue
        result, trouble = _ask(kraken.private, method, fields)
        if trouble is None:
            answers[method] = result
        checks.append(trouble or _answer(method, PRIVATE_ANSWERS[method], {} if result is None else result))
    return [*checks, _permissions(answers.get("GetApiKeyInfo", {}))]


def _ask(ask: Callable[..., Any], method: str, fields: plan.Fields) -> tuple[Any, Check | None]:
    """The result, or the check that tells of the trouble. Of other errors only the kind is told, not the words."""
    try:
        return ask(method, **fields), None
    except Refused as error:
        details = error.errors
    except (Unavailable, InDoubt) as error:
        details = (type(error).__name__,)
    return None, Check(method, "answer", "refused", details)


def _answer(method: str, shape: Shape, result: Any) -> Check:
    found = check(shape, result)
    unknown = tuple(each.path for each in found.differences if each.what == "unexpected")
    details = tuple(str(each) for each in found.differences if each.what != "unexpected")
    outcome = "differs" if found.differences else "matched"
    return Check(method, "answer", outcome, details, unknown, tuple(sorted(unseen(shape, found))))


def _refusal(kraken: Kraken, expected: plan.Refusal) -> Check:
    ask = kraken.public if expected.public else kraken.private
    _, trouble = _ask(ask, expected.method, expected.fields)
    said = trouble.details if trouble else ("no error",)
    if said == (expected.error,):
        return Check(expected.name, "refusal", "matched")
    return Check(expected.name, "refusal", "differs", (f"expected {expected.error}, got {', '.join(said)}",))


def _permissions(info: Mapping[str, Any]) -> Check:
    named = info.get("permissions")
    if not isinstance(named, list):
        return Check("names of permissions", "permissions", "not shown")
    new = sorted({str(name) for name in named} - plan.PERMISSIONS)
    details = tuple(f"not documented: {name}" for name in new)
    return Check("names of permissions", "permissions", "differs" if new else "matched", details)


def _numbers(answers: Mapping[str, Any]) -> list[Check]:
    """Kraken's public tables beside the simulator's, row by row."""
    with Simulator() as simulator, Probe(simulator.url, simulator.accounts[0]) as probe:
        return [
            _rows(method, names, probe.public(method)["result"], answers.get(method) or {})
            for method, names in plan.COMPARED.items()
        ]


def _rows(method: str, names: tuple[str, ...], ours: Rows, theirs: Rows) -> Check:
    details = [f"{key}: not there" for key in ours if key not in theirs]
    for key in ours.keys() & theirs.keys():
        for name in names:
            here, there = ours[key].get(name, MISSING), theirs[key].get(name, MISSING)
            if here != there:
                details.append(f"{key}.{name}: {here} in the simulator, {there} there")
    return Check(f"rows of {method}", "numbers", "differs" if details else "matched", tuple(sorted(details)))

"""Each key as Kraken sees it, by one GetApiKeyInfo on the key's lane: it needs no permission and changes nothing.

``ask_key`` makes the call, holding the turn, so that what the lane had issued before it is known; the rest judges.
It is one attempt: a refused nonce is told, and neither makes the lane jump nor stops the key. A session without a
background is used: nobody's orders are looked for meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sealane.client.session import Session
from sealane.client.settings import Settings
from sealane.core.call import error_of
from sealane.core.methods import HARMLESS, METHODS, method_named
from sealane.core.nonce import NS_PER_S, unit_ns
from sealane.core.secret import Credentials
from sealane.core.verdict import Advice, Outcome
from sealane.doctor.finding import Finding, fault, ok, skipped, warning
from sealane.doctor.nonce_clients import client_of, consistent_with
from sealane.doctor.nonce_files import lasted
from sealane.errors import NotDurable, Quarantined, Refused, SealaneError
from sealane.runtime import threads
from sealane.runtime.lanes import current_owner
from sealane.store.lock_holders import LockHeld
from sealane.transport.http import HttpTransport, limits

TURN_WAIT_S = 10.0
ANSWER_S = 10.0
EXPIRES_SOON_S = 14 * 86_400
NEEDED = ("query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades")
"""Permissions that Sealane's own commands ask for."""
_CANCELS = ("CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter", "AmendOrder")
OR_ELSE = {
    **dict.fromkeys(_CANCELS, "close-trades"),
    **dict.fromkeys(("QueryOrders", "OrderAmends"), "query-open-trades"),
}
"""The permission that does for a method beside the one in the table, by Kraken's page on each."""
_REFUSALS = {
    "eapi:invalid key": (
        "Kraken knows no such key",
        "copy the API key again from Kraken, whole; or it was deleted there",
    ),
    "eapi:invalid signature": (
        "the secret is not the key's, or was cut short",
        "copy the private key again: Kraken shows it once, so make a new key where it is lost",
    ),
    "eapi:invalid nonce": (
        "Kraken refuses its nonces: the key has accepted a higher one",
        "find the other program that uses this key, and give it a key of its own",
    ),
    "egeneral:permission denied": (
        "Kraken denies even a call that needs no permission: the key has a second factor, is bound to other IP "
        "addresses, or has expired",
        "look at the key at Kraken (Settings, API); set the account's _API_OTP variable where it has a password",
    ),
    "egeneral:temporary lockout": (
        "Kraken locked the key out for some minutes",
        "wait; find out which program sent so much, or kept sending what was refused",
    ),
    "eapi:rate limit": ("the key's counter at Kraken is full", "another program uses the key; or wait a minute"),
}


@dataclass(frozen=True)
class KeyAnswer:
    """What came of asking about one key.

    Attributes:
        account: its account's name.
        info: Kraken's answer, {} where there is none.
        before, after: the highest nonce that the lane had issued before the call and after; in its unit.
        unit_ns: length of the unit.
        refused: the call's nonce where Kraken refused it, else 0.
        error: what came instead of an answer.
    """

    account: str
    info: Mapping[str, object] = field(default_factory=dict)
    before: int = 0
    after: int = 0
    unit_ns: int = 1
    refused: int = 0
    error: SealaneError | None = None


def ask_key(settings: Settings, who: Credentials) -> KeyAnswer:
    """Ask Kraken about a key, on its lane; never raises a SealaneError."""
    transport = HttpTransport(settings.url, limits(ANSWER_S))
    session = Session(settings, who, None, TURN_WAIT_S)
    try:
        return _ask(session, transport, who, unit_ns(settings.nonce_unit))
    except SealaneError as error:
        return KeyAnswer(who.account, error=error)
    finally:
        session.close()
        transport.close()


def _ask(session: Session, transport: HttpTransport, who: Credentials, unit: int) -> KeyAnswer:
    lane, owner = session.lane, current_owner()
    threads.enter(lane, owner, TURN_WAIT_S)
    try:
        before = lane.store.last()
        flow, desk = session.probe(HARMLESS)
        nonce, verdict = threads.run(flow, desk, transport, TURN_WAIT_S)
        answer = KeyAnswer(who.account, before=before, after=lane.store.last(), unit_ns=unit)
        if verdict.outcome is Outcome.ACCEPTED:
            return replace(answer, info=verdict.result if isinstance(verdict.result, dict) else {})
        error = error_of(method_named(HARMLESS), nonce, verdict, lane.clock.wall_ns())
        return replace(answer, error=error, refused=nonce if verdict.advice is Advice.NONCE else 0)
    finally:
        lane.leave(owner)


# --- what it means ------------------------------------------------------------------------------------------------


def judge_key(answer: KeyAnswer, now_ns: int) -> Iterator[Finding]:
    """All that Kraken's answer says of a key."""
    if answer.error is not None:
        yield judge_error(answer.account, answer.error)
        if answer.refused:
            yield _overtaken(answer, now_ns)
        return
    if not answer.info:
        yield skipped("key", answer.account, "Kraken's answer says nothing of the key")
        return
    yield ok("key", answer.account, "Kraken accepts the key, its secret and its nonces")
    yield _window(answer)
    yield _withdraws(answer)
    yield _permissions(answer)
    yield _addresses(answer)
    yield _expiry(answer, now_ns)
    yield _foreign(answer, now_ns)


def judge_error(account: str, error: SealaneError) -> Finding:
    """Why a key could not be asked about, in plain words."""
    if isinstance(error, Quarantined):
        remedy = f"do what the diagnosis says, then 'sealane nonce raise --account {account}'"
        return fault("key", account, f"still getting invalid nonce, and the key is stopped: {error.diagnosis}", remedy)
    if isinstance(error, Refused):
        texts = ", ".join(error.errors)
        row = next((row for start, row in _REFUSALS.items() if start in texts.casefold()), None)
        said, remedy = row or ("Kraken refuses the call", "docs/trouble.md says what Kraken's errors mean")
        return fault("key", account, f"{said} ({texts})", remedy)
    if isinstance(error, NotDurable):
        held = "let the process that holds the lock go on or end it: see 'other-writer' and the message"
        remedy = held if isinstance(error.__cause__, LockHeld) else "mend the data folder: see its findings"
        return fault("key", account, f"it could not be asked about: {error}", remedy)
    if "was busy" in str(error):
        remedy = "look again; a process that was stopped (SIGSTOP) holds its turn until it goes on or is killed"
        return warning("key", account, f"it could not be asked about: {error}", remedy)
    if "locked the key" in str(error):
        return fault("key", account, str(error), "wait; find out which program sent so much")
    remedy = "look at the network, at KRAKEN_SPOT_URL and at status.kraken.com, then try again"
    return fault("key", account, f"it could not be asked about: {error}", remedy)


def _window(answer: KeyAnswer) -> Finding:
    window = _whole(answer.info.get("nonceWindow"))
    if not window:
        return ok("key-window", answer.account, "its nonce window is 0: a nonce is taken once, and in order")
    return warning(
        "key-window",
        answer.account,
        f"its nonce window is {window}: late and repeated requests are taken too, so an order that was lost on the way "
        "cannot be shut out, and ends in doubt for longer",
        "set the key's nonce window to 0 at Kraken (Settings, API, the key)",
    )


def _permitted(answer: KeyAnswer) -> frozenset[str]:
    names = answer.info.get("permissions")
    return frozenset(map(str, names)) if isinstance(names, (list, tuple)) else frozenset()


def _withdraws(answer: KeyAnswer) -> Finding:
    if "withdraw-funds" not in _permitted(answer):
        return ok("key-withdraw", answer.account, "it may not withdraw")
    return warning(
        "key-withdraw",
        answer.account,
        "it may withdraw funds: whoever gets hold of it empties the account, and trading never needs that",
        "take 'Withdraw' from the key at Kraken, or make a new one without",
    )


def _permissions(answer: KeyAnswer) -> Finding:
    permitted = _permitted(answer)
    missing, failing = [name for name in NEEDED if name not in permitted], failing_with(permitted)
    if not failing:
        without = f", without {', '.join(missing)}, which others cover" if missing else ""
        return ok("key-permissions", answer.account, f"it may ask for balance and orders, place and cancel{without}")
    return warning(
        "key-permissions",
        answer.account,
        f"it lacks {', '.join(missing)}, so these fail with EGeneral:Permission denied: {', '.join(failing)}",
        "give the key the permissions at Kraken, or do without those calls",
    )


def failing_with(permitted: frozenset[str]) -> list[str]:
    """The methods behind the needed permissions that a key with these may not call."""
    return [
        name
        for name, row in METHODS.items()
        if row.permission in NEEDED and not permitted & {row.permission, OR_ELSE.get(name, row.permission)}
    ]


def _addresses(answer: KeyAnswer) -> Finding:
    if answer.info.get("ipAllowlist"):
        return ok("key-addresses", answer.account, "it works from listed IP addresses alone")
    return warning(
        "key-addresses",
        answer.account,
        "it works from any IP address: whoever gets hold of it can trade with it from anywhere",
        "list the addresses of your hosts at the key (Settings, API, IP allowlist), where they are fixed",
    )


def _expiry(answer: KeyAnswer, now_ns: int) -> Finding:
    until_s = _whole(answer.info.get("validUntil"))
    left_s = until_s - now_ns / NS_PER_S
    if not until_s:
        return ok("key-expiry", answer.account, "it does not expire")
    if left_s <= 0:
        return fault("key-expiry", answer.account, f"it expired {lasted(-left_s)} ago", "make a new key at Kraken")
    if left_s < EXPIRES_SOON_S:
        return warning("key-expiry", answer.account, f"it expires in {lasted(left_s)}", "make a new key before that")
    return ok("key-expiry", answer.account, f"it expires in {lasted(left_s)}")


def _overtaken(answer: KeyAnswer, now_ns: int) -> Finding:
    """What a refused nonce shows: which number Kraken holds, it does not tell."""
    if answer.after > answer.refused:
        return warning(
            "key-nonce",
            answer.account,
            f"Kraken refused nonce {answer.refused}, and this lane issued {answer.after} meanwhile: consistent with a "
            "number that a program here drew outside its turn",
            "look again; draw nonces inside get_kraken_api_lock()",
        )
    ahead_s = (answer.refused * answer.unit_ns - now_ns) / NS_PER_S
    stands = f"{lasted(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} the clock"
    return warning(
        "key-nonce",
        answer.account,
        f"Kraken refused nonce {answer.refused} ({stands}; the lane's last was {answer.before or 'none'}), so it holds "
        "a higher one: a foreign nonce, of a program whose clock or unit is ahead, or this lane's own from before its "
        "file was lost or rewound. The next calls here jump over it, by 60 s, 10 min and 100 min at most",
        "find the other program that uses this key, and give it a key of its own; where the file was lost, "
        "'sealane nonce raise --to NONCE' with the highest that the logs show",
    )


def _foreign(answer: KeyAnswer, now_ns: int) -> Finding:
    """Whether the nonce that Kraken held before this call can be the lane's own."""
    held, account = _whole(answer.info.get("nonce")), answer.account
    if not held or held == answer.after:  # Kraken counts the call itself, or has no other
        return ok("key-nonce", account, "Kraken's answer shows no nonce but this lane's own")
    if answer.before < held:
        where = (
            "above every nonce that this lane had issued" if held > answer.after else "one that this lane never issued"
        )
        return warning(
            "key-nonce",
            account,
            f"Kraken held nonce {held} for the key, {where} before (its last was {answer.before or 'none'}): a "
            f"foreign nonce, {consistent_with(held, now_ns)}, or a number drawn outside the lane",
            "find the other program that uses this key, and give it a key of its own",
        )
    client = client_of(held, now_ns)
    if client is not None and client.ns != answer.unit_ns:
        return warning(
            "key-nonce",
            account,
            f"Kraken held nonce {held} for the key, far below this lane's {answer.after}: a foreign nonce, "
            f"{consistent_with(held, now_ns)}. That program is now refused with EAPI:Invalid nonce, as it is by "
            "every call here",
            "give the other program a key of its own, or SEALANE_LANES=per-key with its SEALANE_NONCE_UNIT and a "
            "new key",
        )
    return ok("key-nonce", account, "the nonce that Kraken held for it can be this lane's own")


def _whole(value: object) -> int:
    text = str(value if value is not None else "").strip()
    return int(text) if text.isascii() and text.isdecimal() else 0

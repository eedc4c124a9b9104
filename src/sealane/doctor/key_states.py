"""What the store remembers beside the numbers: what keys went through, orders in doubt, counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealane.core.nonce import NS_PER_S
from sealane.core.recovery import JUMPS_MAX, WINDOW_S, KeyState
from sealane.doctor.finding import Finding, fault, ok, warning
from sealane.doctor.nonce_files import lasted
from sealane.doctor.store_facts import OrderFacts, StateFile, StoreFacts

SHOWN_ORDERS = 3


def judge_states(facts: StoreFacts, accounts: Mapping[str, str], now_ns: int) -> Iterator[Finding]:
    """All of them; ``accounts`` gives an account's name by its key's fingerprint."""
    for fingerprint, file in facts.keys.items():
        account = accounts.get(fingerprint, f"a key that is not in the environment ({fingerprint})")
        yield from judge_key_file(account, file, now_ns)
    for file in facts.rates:
        yield from judge_rates(file)
    yield from judge_orders(facts.orders, accounts)


def judge_key_file(account: str, file: StateFile, now_ns: int) -> Iterator[Finding]:
    """What one key went through."""
    key = file.key()
    if key is None:
        yield warning(
            "key-state",
            file.path,
            f"the state of {account} cannot be read{f' ({file.error})' if file.error else ''}: a quarantine or a "
            "fence that was due is forgotten",
            "give the file to the user that runs the program; find out who else writes there, or whether the disk "
            "is bad",
        )
        return
    yield _key(account, key, now_ns)
    recent = [at for at in key.jumps_ns if now_ns - WINDOW_S * NS_PER_S < at <= now_ns]
    if recent and not key.quarantined_ns:
        yield warning(
            "key-jumps",
            account,
            f"Kraken refused its nonces: within {WINDOW_S // 60} minutes the lane jumped forward "
            f"{('once', 'twice')[len(recent) - 1] if len(recent) < 3 else f'{len(recent)} times'}, and the key stops "
            f"after {JUMPS_MAX} jumps",
            "find the other program that uses this key, and stop it or give it a key of its own",
        )


def _key(account: str, key: KeyState, now_ns: int) -> Finding:
    if key.quarantined_ns:
        since = lasted(max(0, now_ns - key.quarantined_ns) / NS_PER_S)
        return fault(
            "key-state",
            account,
            f"the key is quarantined since {since}, after still getting invalid nonce: {key.diagnosis}",
            f"do what the diagnosis says, then 'sealane nonce raise --account {account}'",
        )
    if key.locked_until_ns > now_ns:
        rest_s = (key.locked_until_ns - now_ns) / NS_PER_S
        return fault(
            "key-state",
            account,
            f"Kraken locked the key out (EGeneral:Temporary lockout): nothing is sent for {rest_s:.0f} s more",
            "wait; find out which program sent so much, or kept sending what was refused",
        )
    if key.fence_due:
        return ok("key-state", account, "a write's end is unknown: a harmless call goes before this key's next write")
    return ok("key-state", account, "in order")


def judge_rates(file: StateFile) -> Iterator[Finding]:
    """An account's counters."""
    if file.is_bad or file.error:
        yield warning(
            "rates-file",
            file.path,
            f"the counters of an account cannot be read{f' ({file.error})' if file.error else ''}: they are counted "
            "from zero, and Kraken may refuse some calls for its limits",
            "give the file to the user that runs the program; find out who else writes there",
        )


def judge_orders(orders: OrderFacts, accounts: Mapping[str, str]) -> Iterator[Finding]:
    """The log of orders, and those whose end is unknown."""
    if orders.error:
        yield fault(
            "orders-file",
            orders.path,
            f"the record of orders cannot be read ({orders.error}): no order can be placed",
            "give the file to the user that runs the program (chown)",
        )
        return
    if orders.bad_lines:
        yield warning(
            "orders-file",
            orders.path,
            f"{orders.bad_lines} lines are no whole records: a process was killed while it wrote, or something else "
            "writes there; they are passed over",
            "nothing, if a program was killed; else find out who writes there, or whether the disk is bad",
        )
    else:
        yield ok("orders-file", orders.path, "every record is whole")
    yield _in_doubt(orders, accounts)


def _in_doubt(orders: OrderFacts, accounts: Mapping[str, str]) -> Finding:
    documents = [intent.document() for intent in orders.unsettled]
    left = [document for document in documents if document.get("owner") not in orders.alive]
    if not left:
        under_way = f"{len(documents)} under way in living processes" if documents else "none"
        return ok("orders-in-doubt", orders.path, f"orders whose end is unknown: {under_way}")
    names = ", ".join(str(document.get("id", "?")) for document in left[:SHOWN_ORDERS])
    more = f" and {len(left) - SHOWN_ORDERS} more" if len(left) > SHOWN_ORDERS else ""
    owners = sorted(
        {accounts.get(str(document.get("fingerprint")), "a key not in the environment") for document in left}
    )
    return warning(
        "orders-in-doubt",
        orders.path,
        f"no known end, and no living process that finds out: {names}{more} (of {', '.join(owners)})",
        "'sealane orders --resolve --account NAME' finds out; do not send them again before",
    )

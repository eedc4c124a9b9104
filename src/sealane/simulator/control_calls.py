"""The control calls under `/sim/`: the one list, which `GET /sim/` answers and the tests hold code and page against."""

from typing import NamedTuple


class ControlCall(NamedTuple):
    """One call: its HTTP method, its path (`<name>` is to be filled in), what it does."""

    method: str
    path: str
    does: str


CONTROL_CALLS = tuple(
    ControlCall(*row)
    for row in (
        ("GET", "/sim/", "this list"),
        ("GET", "/sim/accounts", "the start-up document: URL, names, keys and secrets"),
        (
            "POST",
            "/sim/accounts/<name>",
            "change one account: nonce, nonce_window, permissions, otp, balances, tier",
        ),
        ("GET", "/sim/state", "every account as it stands, without secrets"),
        ("POST", "/sim/faults", "add a fault rule"),
        ("GET", "/sim/faults", "the rules and what remains of them"),
        ("DELETE", "/sim/faults", "drop all rules"),
        ("GET", "/sim/journal", "the request journal; ?limit=n and ?account=name"),
        ("DELETE", "/sim/journal", "forget it"),
        ("GET", "/sim/audit", "what the simulator did wrong by its own rules: findings"),
        ("GET", "/sim/status", "the state of the system and of its pairs"),
        ("POST", "/sim/status", 'change it: {"status": "cancel_only", "pairs": {"XBTUSD": "post_only"}}'),
        ("GET", "/sim/switches", "every switch with its value"),
        ("POST", "/sim/switches", 'change some, all or none: {"history_cost": 2}'),
        ("GET", "/sim/time", "the exchange's clock"),
        ("POST", "/sim/time", '{"freeze": true}, {"advance_s": 10} or {"real": true}'),
        ("GET", "/sim/snapshot", "everything that a run changes, as one document"),
        ("POST", "/sim/snapshot", "go on from such a document"),
        ("POST", "/sim/reset", "everything as at the start, same keys"),
    )
)

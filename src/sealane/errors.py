"""Every exception Sealane raises, split by what the caller does next.

    SealaneError
    ├── SettingsError   a setting or an argument is wrong: mend it, nothing was sent
    │   └── NameTaken   the order's client order id belongs to another order that was sent before
    ├── Refused         Kraken said no: the request was not executed
    ├── Unavailable     no answer to be had now: nothing was executed, try later
    │   └── LaneBusy    the lane's turn did not come within its limit
    ├── InDoubt         a write left and its end is unknown: look before you repeat it
    ├── Fenced          another holder has the lane: nothing was sent
    ├── Quarantined     this key is stopped until a person acts: nothing was sent
    └── NotDurable      a nonce or an order's record could not be stored: nothing was sent on it

Messages never hold a secret; a key appears as its last four characters at most.
"""

from __future__ import annotations


class SealaneError(Exception):
    """The root of the tree: catch it to catch all that Sealane raises."""


class SettingsError(SealaneError, ValueError):
    """A setting or argument is wrong; the message names it and the remedy."""


class NameTaken(SettingsError):
    """An order's client order id was used for another order before; give this one an id of its own."""


class Refused(SealaneError):
    """Kraken answered with an error, so the request was not executed.

    Attributes:
        method: the Kraken method, such as ``"AddOrder"``.
        errors: Kraken's own strings, such as ``("EOrder:Insufficient funds",)``.
        wait_s: seconds after which Kraken may say yes, where it is known, else None.
    """

    def __init__(self, method: str, errors: tuple[str, ...], *, wait_s: float | None = None) -> None:
        self.method = method
        self.errors = errors
        self.wait_s = wait_s
        hint = "" if wait_s is None else f" (try again in {wait_s:.0f} s)"
        super().__init__(f"Kraken refused {method}: {', '.join(errors)}{hint}")


class Unavailable(SealaneError):
    """Kraken, or the lane to it, could not be had within the limit; nothing was executed."""


class LaneBusy(Unavailable):
    """The lane's turn did not come within its limit; nothing was sent. Where it does not matter, catch Unavailable."""


class InDoubt(SealaneError):
    """A write was sent and no answer tells its end: it may have been executed.

    Attributes:
        method: the Kraken method.
        nonce: the nonce that the request carried.
        detail: what was seen instead of an answer.
        client_order_id: of an order that goes on being resolved, else "".
    """

    def __init__(self, method: str, nonce: int, detail: str, *, client_order_id: str = "") -> None:
        self.method = method
        self.nonce = nonce
        self.detail = detail
        self.client_order_id = client_order_id
        remedy = "It may have been executed: look for it before sending it again"
        if client_order_id:
            remedy = (
                f"It goes on being resolved while a client with its key is open: ask for order {client_order_id} "
                "(await_order, 'sealane orders --resolve'), and do not send it again before"
            )
        super().__init__(f"{method} with nonce {nonce} is in doubt: {detail}. {remedy}")


class Fenced(SealaneError):
    """Another holder has this lane; the message says who and since when where it is known."""


class Quarantined(SealaneError):
    """Kraken refused this key's nonces until the recovery budget was spent.

    Attributes:
        account: the account's name.
        diagnosis: what is known, what it is consistent with, and what to do.
    """

    def __init__(self, account: str, diagnosis: str) -> None:
        self.account = account
        self.diagnosis = diagnosis
        super().__init__(f"the key of {account} is quarantined: {diagnosis}")


class NotDurable(SealaneError):
    """The store could not keep a nonce, so none was issued, or an order's record; the message names file and remedy."""

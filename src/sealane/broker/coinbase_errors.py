"""What a call to Coinbase ends with, as branches of the tree in ``sealane.errors``.

    Unavailable
    ├── NotSent          no connection: nothing left this machine
    └── Lost             no usable answer: a write may have been carried out
    Refused
    └── CoinbaseRefused  Coinbase said no: not carried out
    InDoubt
    └── CoinbaseInDoubt  an order whose end could not be found out within its limit

Texts that came from outside are cut short and hold no secret: see ``coinbase_wire``.
"""

from __future__ import annotations

from sealane.errors import InDoubt, Refused, SealaneError, Unavailable


class NotSent(Unavailable):
    """Coinbase could not be reached; nothing was sent."""


class Lost(Unavailable):
    """No usable answer came; what was asked for may have been carried out."""


class CoinbaseRefused(Refused):
    """Coinbase answered with an error, so the request was not carried out.

    Attributes:
        status: the HTTP status, such as 401.
    """

    def __init__(self, method: str, status: int, said: str, *, remedy: str = "") -> None:
        self.method, self.status, self.errors, self.wait_s = method, status, (f"{status} {said}{remedy}",), None
        SealaneError.__init__(self, f"Coinbase refused to {method}: {self.errors[0]}")


class CoinbaseInDoubt(InDoubt):
    """An order left and its end could not be found out within the limit; attributes as InDoubt, ``nonce`` is 0."""

    def __init__(self, detail: str, client_order_id: str) -> None:
        self.method, self.nonce, self.detail, self.client_order_id = "create_order", 0, detail, client_order_id
        SealaneError.__init__(
            self,
            f"order {client_order_id} is in doubt: {detail}. Place the same order under the same client_order_id "
            "again, which Coinbase carries out once at most, or ask find_order; never under another id",
        )

"""The last thing before the wire: what is not on the allow list does not leave this machine.

It reads the very bytes that would be sent, so that no mistake above it, of the plan or of the client, gets past.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply
from sealane.transport.port import Transport

READS = frozenset(
    {
        "Balance",
        "BalanceEx",
        "TradeBalance",
        "OpenOrders",
        "ClosedOrders",
        "QueryOrders",
        "OrderAmends",
        "TradesHistory",
        "QueryTrades",
        "OpenPositions",
        "Ledgers",
        "QueryLedgers",
        "TradeVolume",
        "GetApiKeyInfo",
    }
)
"""Private methods that only read, and hand out nothing secret (a WebSocket token would be)."""
VALIDATED = "AddOrder"
"""The one write, and only as a question: with `validate=true` Kraken checks the order and places nothing."""


class Forbidden(AssertionError):
    """The request is not on the allow list. It was not sent."""


def check(request: Request) -> None:
    """Raise Forbidden unless this request is a public read, a private read of the list, or a validated AddOrder."""
    path = request.target.partition("?")[0]
    if request.verb == "GET" and path.startswith("/0/public/"):
        return
    method = path.removeprefix("/0/private/")
    if request.verb != "POST" or not path.startswith("/0/private/"):
        raise Forbidden(f"{request.verb} {path} is not on the allow list")
    if method in READS:
        return
    if method != VALIDATED or [value for name, value in fields(request.body) if name == "validate"] != ["true"]:
        raise Forbidden(f"{method} is not on the allow list as it would be sent")


def fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form or of JSON, a repeated one as often as it is there; true as text in both."""
    if body.lstrip().startswith(b"{"):
        pairs: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=list)
        return [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in pairs]
    return parse_qsl(body.decode(), keep_blank_values=True)


class GatedTransport:
    """A transport that checks every request before it is sent; `pause` is called before each, to be slow on purpose."""

    def __init__(self, behind: Transport, pause: Callable[[], None]) -> None:
        self._behind, self._pause = behind, pause
        self.sent: list[str] = []

    def send(self, request: Request) -> Reply | Failure:
        """See ``sealane.transport.port``; raises Forbidden."""
        check(request)
        self._pause()
        self.sent.append(request.target.partition("?")[0].removeprefix("/0/"))
        return self._behind.send(request)

    def close(self) -> None:
        """See ``sealane.transport.port``."""
        self._behind.close()

    def after_fork(self) -> None:
        """See ``sealane.transport.port``."""
        self._behind.after_fork()

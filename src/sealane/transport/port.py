"""What carries requests to Kraken. Both colours answer the same way and raise nothing for trouble on the way."""

from __future__ import annotations

from typing import Protocol

from sealane.core.signing import Request
from sealane.core.verdict import Failure, Reply


class Transport(Protocol):
    """Blocking: safe to use from any thread."""

    def send(self, request: Request) -> Reply | Failure:
        """Send once, within a limit and the request's own.

        ``Failure.sent`` is False only where no byte can have reached Kraken.
        """

    def close(self) -> None:
        """Close idle connections."""

    def after_fork(self) -> None:
        """In a forked child: forget connections shared with the parent, without closing them at the other end."""


class AsyncTransport(Protocol):
    """The same for asyncio; used from one event loop."""

    async def send(self, request: Request) -> Reply | Failure:
        """See Transport."""

    async def close(self) -> None:
        """See Transport."""

    def after_fork(self) -> None:
        """See Transport."""

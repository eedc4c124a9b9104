"""What a service manager is told, in systemd's notify protocol: that it is ready, that it ends, that it is alive.

Nothing is said where nobody listens (no ``NOTIFY_SOCKET``), and a message that does not arrive is no error here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
US_PER_S = 1_000_000


@dataclass(frozen=True)
class Manager:
    """Whoever started this process. ``alive_every_s`` is how often it wants to hear that all is well, 0 for never."""

    address: str = ""
    alive_every_s: float = 0.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Manager:
        """``NOTIFY_SOCKET``, and half of ``WATCHDOG_USEC`` where that is meant for this process."""
        meant = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        limit = environ.get("WATCHDOG_USEC", "") if meant else ""
        limit_us = int(limit) if limit.isascii() and limit.isdecimal() else 0
        return cls(environ.get("NOTIFY_SOCKET", ""), limit_us / 2 / US_PER_S)

    def tell(self, text: str) -> None:
        """Send it; never waits. A name that begins with ``@`` is an abstract one."""
        if not self.address:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto(text.encode(), address)

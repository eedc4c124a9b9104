"""Whose number a nonce may be, by its size: each client of this exchange counts in its own unit.

Units as their sources say, 2026-11. A size is a hint, never a proof: hence "consistent with".
"""

from __future__ import annotations

from dataclasses import dataclass

TICKS_TO_1970 = 621_355_968_000_000_000
"""Ticks of 100 ns between year 1 and 1970, where .NET begins to count."""
_LOW, _HIGH = 0.75, 1.33


@dataclass(frozen=True)
class NonceClient:
    """One way to make nonces from a clock: ``value(now_ns)`` is what it would give now."""

    unit: str
    ns: int
    clients: str
    base: int = 0

    def value(self, now_ns: int) -> int:
        """The nonce of this unit at a time."""
        return self.base + now_ns // self.ns


CLIENTS = (
    NonceClient("s", 10**9, "hummingbot"),
    NonceClient("ms", 10**6, "ccxt, krakenex, Kraken's Go SDK"),
    NonceClient("µs", 10**3, "Kraken's PHP sample, npm clients, the documents' bot of January 17"),
    NonceClient("1e-8 s", 10, "python-kraken-sdk"),
    NonceClient("ticks", 100, "Kraken.Net", TICKS_TO_1970),
    NonceClient("ns", 1, "Sealane, kraken-cli, nautilus"),
)


def client_of(nonce: int, now_ns: int) -> NonceClient | None:
    """The unit that a nonce is consistent with, None for no unit near it."""
    for client in CLIENTS:
        if _LOW <= nonce / client.value(now_ns) <= _HIGH:
            return client
    return None


def consistent_with(nonce: int, now_ns: int) -> str:
    """For a message: ``"consistent with a program that counts in ms (ccxt, …)"``, or that nothing is known."""
    client = client_of(nonce, now_ns)
    if client is None:
        return "consistent with no client that is known by its size"
    return f"consistent with a program that counts in {client.unit} ({client.clients})"

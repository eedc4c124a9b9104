"""The wire: one verb, ``send``. ``http`` talks to Kraken, ``scripted`` is a public test double."""

from sealane.transport.port import AsyncTransport, Transport

__all__ = ["AsyncTransport", "Transport"]

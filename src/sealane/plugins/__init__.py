"""Other Kraken clients on a lane: ``guard(client)``.

    import ccxt
    from sealane.plugins import guard

    exchange = guard(ccxt.kraken({"apiKey": …, "secret": …}))

No client library is imported from here: a client is known by the names of its classes.
"""

from __future__ import annotations

from sealane.plugins.hook import guard

__all__ = ["guard"]

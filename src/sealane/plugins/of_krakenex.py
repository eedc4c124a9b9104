"""krakenex.API: its nonces are drawn, ``query_private`` is one turn."""

from __future__ import annotations

import functools
from typing import Any

from sealane.plugins.turnstile import Turnstile


def hook(client: Any, turnstile: Turnstile) -> None:
    """Put an API object through the turnstile, also for what calls it, such as pykrakenapi."""
    query_private = client.query_private

    @functools.wraps(query_private)
    def guarded(*args: Any, **more: Any) -> Any:
        return turnstile.run(lambda: query_private(*args, **more))

    client._nonce = turnstile.draw
    client.query_private = guarded

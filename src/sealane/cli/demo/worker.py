"""One process of the demo: several threads that call Balance until the process is killed, or the exchange they call.

``ordinary`` does what most programs do: every thread takes its nonces from the clock. ``sealane`` uses the library.
The key comes from the environment, as a bot's does: an argument would show in the process list.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from sealane import Kraken, SealaneError
from sealane.client.accounts import account_credentials
from sealane.core.signing import private_request
from sealane.transport.http import HttpTransport

THREADS = 3
LATENCY_MS = 3
PAUSE_S = 0.004
"""What a bot does between two calls."""


def ordinary() -> Callable[[], None]:
    """A caller with a nonce of its own: rising, from a good clock, and still not enough."""
    who = account_credentials(os.environ)
    transport = HttpTransport(os.environ["KRAKEN_SPOT_URL"])
    last = 0

    def one_call() -> None:
        nonlocal last
        last = max(last + 1, time.time_ns())
        transport.send(private_request(who, "Balance", {}, last))

    return one_call


def sealane() -> Callable[[], None]:
    """A caller on the lane; all threads of the process share the client."""
    kraken = Kraken.from_env()

    def one_call() -> None:
        try:
            kraken.private("Balance")
        except SealaneError as error:  # the judge is the simulator's journal; the loop goes on as a bot would
            print(error, file=sys.stderr)

    return one_call


def end_with_parent() -> None:
    """End this process when its standard input does: whoever started it is gone, however it went."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main(mode: str) -> None:
    """Run the threads for ever, or the simulator."""
    end_with_parent()
    if mode == "exchange":
        from sealane.simulator import serve

        serve(port=0, accounts=1, seed=0, latency_ms=LATENCY_MS)
        return
    shared = sealane() if mode == "sealane" else None
    never = threading.Event()

    def loop() -> None:
        one_call = shared or ordinary()
        while True:
            one_call()
            never.wait(PAUSE_S)

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1])

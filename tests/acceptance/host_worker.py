"""A program on one of several hosts, to be killed or stopped: ``worker.py`` with one more role.

``orders`` places orders from several threads, with reads in between, tells of each when it begins and how it ended,
and goes on until the line says something; then it stops cleanly.
"""

import itertools
import threading
from typing import Any

import worker

import sealane.store.postgres.engine
import sealane.store.redis.engine  # noqa: F401
from sealane import Kraken
from sealane.errors import SealaneError
from sealane.store import engine_intents

ORDER = {"pair": "XBTUSD", "side": "buy", "volume": "0.001", "price": "1000"}


def orders(line: worker.Line, config: dict[str, Any]) -> None:
    """``config``: ``name`` to begin the client order ids with, ``threads``."""
    engine_intents.BEAT_SPAN_MS = config["beat_span_ms"]
    stop = threading.Event()
    with Kraken.from_env() as kraken:
        threads = [
            threading.Thread(target=_place, args=(line, kraken, f"{config['name']}-{number}", stop, config))
            for number in range(config["threads"])
        ]
        for thread in threads:
            thread.start()
        next(line, None)
        stop.set()
        for thread in threads:
            thread.join()
    line.say(stopped=True)


def _place(line: worker.Line, kraken: Kraken, name: str, stop: threading.Event, config: dict[str, Any]) -> None:
    for number in itertools.count():
        if stop.is_set():
            return
        order_id = f"{name}-{number}"
        try:
            kraken.private("Balance")
            if config.get("reads"):
                line.say(ended=order_id, end="read")
                continue
            line.say(begun=order_id)
            end = kraken.place_order(**ORDER, client_order_id=order_id, timeout_s=30)
            line.say(ended=order_id, end=type(end).__name__, text=str(end))
        except SealaneError as error:
            line.say(ended=order_id, end=type(error).__name__, text=str(error))
            stop.wait(config.get("pause_s", 0.05))


worker.ROLES["orders"] = orders

if __name__ == "__main__":
    worker.nursery()

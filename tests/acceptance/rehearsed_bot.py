"""A small bot in a container: its nonce manager speaks, then it calls as fast as it is answered, until SIGTERM."""

import logging
import signal
import sys
import threading

from sealane import Kraken
from sealane.errors import Quarantined
from sealane.global_nonce import get_global_nonce_manager

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
told_to_stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
get_global_nonce_manager()
with Kraken.from_env() as kraken:
    while not told_to_stop.is_set():
        try:
            kraken.private("Balance")
        except Quarantined as error:
            print("stopped:", error, flush=True)
            sys.exit(6)
        print("answered", flush=True)
print("left in order", flush=True)

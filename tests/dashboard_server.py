"""The dashboard on a real server in this process, of a state that a test makes up and may change."""

import asyncio
import http.client
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from dashboard_documents import Key, sighting, state, traffic
from sealane.gateway.app import make_app
from sealane.gateway.server import answer, listen, url_of

LIMIT_S = 20
KEYS = (Key("grid-bot", "MASTER"), Key("reader", "anna"))


class Shown:
    """A running server. ``state`` is what it shows; ``end()`` stops it, and waits until it has stopped."""

    def __init__(self, loop, stop, thread):
        self.state = state(sighting(("MASTER", "anna")))
        self._loop, self._stop, self._thread = loop, stop, thread
        self.url = ""

    def get(self, path, method="GET"):
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def end(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()


@contextmanager
def shown(port=0, keys=KEYS, went=None, **options):
    """A server; ``port`` takes up again where another one left."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with listen("127.0.0.1", port) as listener:
        found = Shown(loop, stop, None)
        went = went or traffic()
        app = make_app(
            lambda: found.state, traffic=went, virtual_keys=lambda: keys, **{"show_amounts": True, **options}
        )
        found._thread = threading.Thread(target=lambda: loop.run_until_complete(answer(app, listener, ready.set, stop)))
        found._thread.start()
        assert ready.wait(LIMIT_S)
        found.url = url_of(listener)
        try:
            yield found
        finally:
            found.end()
            loop.close()

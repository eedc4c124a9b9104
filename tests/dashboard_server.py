"""The dashboard on a real server in this process, of a state that a test makes up and may change."""

import asyncio
import http.client
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from dashboard_documents import all_well
from sealane.gateway.app import make_app
from sealane.gateway.server import answer, listen, url_of

LIMIT_S = 20


class Shown:
    """A running server. ``scene`` is what it shows, and may be changed; ``end()`` waits until it has stopped."""

    def __init__(self, scene, loop, stop):
        self.scene, self._loop, self._stop = scene, loop, stop
        self._thread = threading.current_thread()
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
def shown(scene=None, *, port=0, show_amounts=True):
    """A server; ``port`` takes up again where another one left."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with listen("127.0.0.1", port) as listener:
        found = Shown(scene or all_well(), loop, stop)
        app = make_app(
            lambda: found.scene.state,
            traffic=found.scene.traffic,
            virtual_keys=lambda: found.scene.keys,
            show_amounts=show_amounts,
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

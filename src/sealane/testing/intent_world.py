"""A small world for the log of intents: one volume, a few processes, and a judge of what the log then holds.

The judge knows for each id which documents it may find: the last that was stored, and those whose writing was cut
short; after power loss the last that was *synced*, and those written since. What it finds it holds the log to from
then on.
"""

# ruff: noqa: S101 - the world checks what it sees

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from sealane.errors import NotDurable
from sealane.store.port import IntentLog
from sealane.testing.sim_disk import Killed, SimDisk
from sealane.testing.sim_volume import SimVolume

FOLDER = Path("/data")
SETTLED_KEPT = 3
"""So that logs are written anew all the time."""
PROCESSES_MAX = 3
MakeLog = Callable[[SimDisk], IntentLog]
Document = Mapping[str, object]


class IntentProcess:
    """One process with the log open."""

    def __init__(self, name: str, disk: SimDisk, log: IntentLog) -> None:
        self.name, self.disk, self.log = name, disk, log
        self.token = ""


class Known:
    """What is known of one id; None stands for no document."""

    def __init__(self) -> None:
        self.sure: Document | None = None
        self.since: list[Document] = []
        self.possible: list[Document | None] = [None]
        self.place: int | None = None  # the number of its first document,
        self.certain = True  # if that is certain

    @property
    def settled(self) -> bool:
        """Whether its end has been written, or may have been."""
        return any(document is not None and document["settled"] for document in [*self.possible, *self.since])

    def tried(self, document: Document) -> None:
        """A write began."""
        self.since.append(document)
        self.possible.append(document)

    def stored(self, document: Document, *, sync: bool) -> None:
        """It returned."""
        self.possible = [document]
        if self.place is None:
            self.place = int(str(document["n"]))
        if sync:
            self.sure, self.since = document, []

    def cut_short(self, document: Document) -> None:
        """It raised."""
        self.possible.append(document)
        self.certain = False

    def sync_failed(self) -> None:
        """What was not synced by then may never be: then a later document is the first that lasts."""
        self.certain = self.certain and not self.since

    def power_lost(self) -> None:
        """What was not synced may be gone."""
        self.sync_failed()
        self.possible = [self.sure, *self.since]

    def found(self, document: Document | None, *, after_loss: bool) -> None:
        """What was found is from now on what there is, and after power loss all that is on disk."""
        self.possible = [document]
        if document is None:
            self.place, self.certain = None, True
        if after_loss:
            self.sure, self.since = document, []


class IntentWorld:
    """What there is, what happened to it, and whether the log was right."""

    def __init__(self, make_log: MakeLog) -> None:
        self.volume = SimVolume()
        self.log: list[str] = []
        self.processes: list[IntentProcess] = []
        self.known: dict[str, Known] = {}
        self.nested = False
        self.busy_id = ""
        self._make_log = make_log
        self._tokens: list[tuple[str, SimDisk]] = []
        self._settles: list[tuple[int, str]] = []
        self._born = self._written = self._losses = 0

    def say(self, text: str) -> None:
        """Note what happens, for whoever has to understand a failure."""
        self.log.append(f"{'    ' * self.nested}{text}")

    def alive(self) -> list[IntentProcess]:
        """The processes that still run."""
        self.processes = [process for process in self.processes if process.disk.alive]
        return self.processes

    def new_process(self) -> IntentProcess:
        """One that has just started."""
        self._born += 1
        disk = SimDisk(self.volume)
        self.processes.append(IntentProcess(f"process {self._born}", disk, self._make_log(disk)))
        return self.processes[-1]

    def some_process(self, rng: random.Random) -> IntentProcess:
        """One that runs, or a new one."""
        running = self.alive()
        if running and (len(running) == PROCESSES_MAX or rng.random() < 0.8):
            return rng.choice(running)
        return self.new_process()

    # --- verbs of the log -----------------------------------------------------------------------------------------

    def write(self, process: IntentProcess, rng: random.Random) -> None:
        """Write the first, a further or the last document of an id that is not in somebody's hands."""
        unsettled = [name for name, known in self.known.items() if not known.settled and name != self.busy_id]
        name = rng.choice(unsettled) if unsettled and rng.random() < 0.7 else f"order-{len(self.known)}"
        settled = name in self.known and rng.random() < 0.7
        self.put(process, name, settled=settled, sync=rng.random() < 0.6, padding=rng.choice((0, 0, 40, 700, 1500)))

    def put(self, process: IntentProcess, name: str, *, settled: bool, sync: bool, padding: int = 0) -> None:
        """Write one document, and keep what is known of it."""
        self._written += 1
        document = {"n": self._written, "settled": settled, "text": "x" * padding}
        known = self.known.setdefault(name, Known())
        known.tried(document)
        settles = [name] if settled else []
        self._settles += [(self._written, one) for one in settles]
        losses, self.busy_id = self._losses, self.busy_id or name
        try:
            process.log.write(name, document, sync=sync)
        except (Killed, NotDurable) as error:
            if losses == self._losses:  # else what power loss left of it has been seen
                known.cut_short(document)
            self._check_cause(process, error)
        else:
            known.stored(document, sync=sync)
            known.certain = known.certain and self._written == document["n"]  # else others wrote meanwhile
            self.say(f"{process.name} wrote {name} = {document['n']}{' settled' * settled}{' synced' * sync}")
        finally:
            self._settles += [(self._written, one) for one in settles]  # others may have written meanwhile
            self.busy_id = "" if self.busy_id == name else self.busy_id

    def look(self, process: IntentProcess, *, after_loss: bool = False) -> None:
        """See whether all that has to be there is, and nothing else."""
        try:
            found = dict(process.log.recent(10**6))
            unsettled = process.log.unsettled()
            read = {name: process.log.read(name) for name in self.known}
        except (Killed, NotDurable) as error:
            self._check_cause(process, error)
            return
        numbers = {name: document["n"] for name, document in found.items()}
        self.say(f"{process.name} finds {numbers}")
        assert found.keys() <= self.known.keys(), f"{found.keys() - self.known.keys()} were never written"
        for name, known in self.known.items():
            document = found.get(name)
            assert read[name] == document
            assert unsettled.get(name) == (document if document and not document["settled"] else None)
            assert document in known.possible or (document is None and self._may_be_dropped(name)), (
                f"{name} is {document}, not one of {known.possible}"
            )
            known.found(document, after_loss=after_loss)
        places = [self.known[name].place or 0 for name in unsettled if self.known[name].certain]
        assert places == sorted(places), f"not oldest first: {list(unsettled)}"

    def own(self, process: IntentProcess) -> None:
        """Ask for the token, and who of all that ever had one lives."""
        try:
            self._check_token(process, process.log.owner())
            for token, disk in self._tokens:
                assert process.log.is_alive(token) == disk.alive, f"{token} is alive: {disk.alive}"
        except (Killed, NotDurable) as error:
            self._check_cause(process, error)

    def _check_token(self, process: IntentProcess, token: str) -> None:
        assert token == (process.token or token), "a process has one token for life"
        if not process.token:
            assert token not in [known for known, _ in self._tokens]
            process.token = token
            self._tokens.append((token, process.disk))

    def _may_be_dropped(self, name: str) -> bool:
        """Whether it may have been settled, and enough others after it."""
        numbers = [int(str(doc["n"])) for doc in self.known[name].possible if doc is not None and doc["settled"]]
        later = {other for number, other in self._settles if numbers and number >= min(numbers)} - {name}
        return len(later) >= SETTLED_KEPT

    def _check_cause(self, process: IntentProcess, error: BaseException) -> None:
        volume = self.volume
        self.say(f"{process.name}: {str(error)[:150] or 'died'}")
        for known in self.known.values() if volume.sync_fails else ():
            known.sync_failed()
        cause = volume.sync_fails or volume.name_sync_fails or volume.full or volume.read_only
        assert isinstance(error, Killed) or self.nested or cause, f"{process.name} was refused without a cause: {error}"

    # --- what happens ---------------------------------------------------------------------------------------------

    def kill(self, process: IntentProcess) -> None:
        """kill -9."""
        self.say(f"{process.name} is killed")
        process.disk.kill()

    def power_loss(self, rng: random.Random) -> None:
        """Power fails; what the disk then holds is looked at, and is what there is."""
        self.say("power is lost")
        self.volume.power_loss(rng)
        self._losses += 1
        for known in self.known.values():
            known.power_lost()
        flags = ("sync_fails", "name_sync_fails", "full", "read_only")
        before = {flag: getattr(self.volume, flag) for flag in flags}
        vars(self.volume).update(dict.fromkeys(flags, False))
        self.look(self.new_process(), after_loss=True)
        vars(self.volume).update(before)

    def finish(self) -> None:
        """At the end of all the log takes a document and keeps it, as seen by a process that comes later."""
        writer = self.new_process()
        self.look(writer)
        self.put(writer, f"order-{len(self.known)}", settled=False, sync=True)
        self.look(self.new_process())
        self.power_loss(random.Random(0))  # noqa: S311 - a seed is wanted here, not secrecy

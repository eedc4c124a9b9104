"""Who watches a world of leases: knows nothing of the product, only what happened and when in true time.

What is promised, and in which class of faults:

1. Always: a machine's own nonces only rise, and each is at the wall clock that its process read, or above. No order is
   executed twice; unless BEHIND: what is still on its way has a nonce above all that anybody remembers.
2. No nonce is issued twice; unless the engine lost steps that it had answered (LOSS), and the clock of the machine that
   came next was behind the lane's nonces (BEHIND).
3. A nonce is above all that were issued on the lane before its process last read the time since boot; unless BEHIND, or
   the engine's clock stepped forward (FORWARD).
4. No two machines have a lease that is good by their own clocks, and no write is executed after one of a later epoch
   on its key; unless FORWARD, and for the writes AGAIN: the engine lost steps and its clock is behind, so that it gave
   an epoch that is not above all before.
5. A nonce is refused only where its sender's lease was over when it arrived, or its sender had given it up; unless
   BEHIND or FORWARD.
6. Between an unclean change, by the engine's own log or because of LOSS, and a key's next write lies a harmless call
   that was accepted; unless AGAIN.
7. A write whose sender heard no answer is followed by a harmless call that was accepted, before the next write on its
   key; unless AGAIN or BEHIND.
8. Once all faults are over, every process has its turn within ``SERVED_WITHIN_NS``.

Whatever machines' clocks do excuses nothing, nor does an engine's clock that steps back, alone.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

from sealane.testing.clock import START_NS

FORWARD, LOSS = "engine clock forward", "engine lost steps"
BEHIND, AGAIN = "a clock behind after a loss", "epochs again after a loss"


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(eq=False)
class Message:
    """A private request: who sent it under which epoch, and what became of it."""

    host: str
    epoch: int
    key: str
    nonce: int
    order: str
    """The order that it places, "" for a harmless call."""
    sent_ns: int
    awaited: bool = True
    told: bool = False
    accepted: bool | None = None


@dataclass
class Change:
    """An unclean change to an epoch, and the keys that were fenced since."""

    epoch: int
    fenced: set[str] = field(default_factory=set)


@dataclass
class Judge:
    """See the head of this file; raises Broken."""

    now_ns: Callable[[], int]
    log: list[str] = field(default_factory=list)
    excuses: set[str] = field(default_factory=set)
    issued: dict[int, str] = field(default_factory=dict)
    refused: int = 0
    handed_over: int = 0
    unclean: int = 0
    executed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._times: list[int] = []
        self._peaks: list[int] = []
        self._own: dict[str, int] = {}
        self._accepted: dict[str, int] = {}
        self._last_sent: dict[str, Message] = {}
        self._last_write: dict[str, Message] = {}
        self._holder, self._highest_epoch = ("", 0), 0
        self._let_go, self._forgetful, self._after_loss = True, False, False
        self._uncleans: list[Change] = []

    def note(self, text: str) -> None:
        """Tell the story."""
        self.log.append(f"{(self.now_ns() - START_NS) / 1e9:9.4f} {text}")

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.note(f"BROKEN: {text}")
            raise Broken(text)

    # --- the engine's log -----------------------------------------------------------------------------------------

    def granted(self, host: str, epoch: int, *, anew: bool = False) -> None:
        """The engine gave a host the lane, or more of it; ``anew``: in an epoch that it does not know to have given."""
        if (host, epoch) == self._holder and not anew:
            return
        if not self._let_go or self._forgetful:
            self._uncleans.append(Change(epoch))
            self.unclean += 1
        self.handed_over += 1
        self.note(f"{host} holds the lane in epoch {epoch}{'' if self._let_go else ', uncleanly'}")
        if LOSS in self.excuses and epoch <= self._highest_epoch:
            self.excuses.add(AGAIN)
        self._highest_epoch = max(self._highest_epoch, epoch)
        self._holder, self._let_go = (host, epoch), False
        self._after_loss, self._forgetful = self._after_loss or self._forgetful, False

    def let_go(self, epoch: int) -> None:
        """The engine took note that a holder let the lane go."""
        self._let_go = self._let_go or epoch == self._holder[1]

    def lost(self) -> None:
        """The engine forgot steps that it had answered."""
        self.excuses.add(LOSS)
        self._forgetful = True

    # --- nonces ---------------------------------------------------------------------------------------------------

    def drawn(self, box: str, nonce: int, *, now_ns: int, looked_ns: int, wall_ns: int) -> None:
        if self._after_loss and self._holder[0].startswith(f"{box}/"):
            self._after_loss = False
            if self._peaks and self._peaks[-1] >= wall_ns:
                self.excuses.add(BEHIND)
        first = self.issued.get(nonce)
        self.require(first is None or BEHIND in self.excuses, f"{nonce} was issued to {first} and to {box}")
        self.issued[nonce] = box
        self.require(nonce > self._own.get(box, 0), f"{box} issued {nonce} after {self._own.get(box)}")
        self.require(nonce >= wall_ns, f"{nonce} is below the clock {wall_ns}")
        self._own[box] = nonce
        at = bisect.bisect_left(self._times, looked_ns) - 1
        if at >= 0 and not self._order_excused:
            self.require(nonce > self._peaks[at], f"{box} issued {nonce}, below {self._peaks[at]} issued before it")
        self._times.append(now_ns)
        self._peaks.append(max(nonce, self._peaks[-1] if self._peaks else 0))

    @property
    def _order_excused(self) -> bool:
        return bool({FORWARD, BEHIND} & self.excuses)

    def holders(self, holders: list[str]) -> None:
        """Machines whose lease is good by their own clocks, now."""
        self.require(len(holders) < 2 or FORWARD in self.excuses, f"{' and '.join(holders)} hold the lane")

    # --- requests -------------------------------------------------------------------------------------------------

    def sent(self, message: Message) -> None:
        if not message.order:
            return
        change = next((each for each in reversed(self._uncleans) if each.epoch <= message.epoch), None)
        self.require(
            change is None or message.key in change.fenced or AGAIN in self.excuses,
            f"{message.host} wrote to {message.key} in epoch {message.epoch}, not fenced since {change}",
        )
        before = self._last_sent.get(message.key)
        self.require(
            before is None
            or before.told
            or before.epoch > message.epoch
            or {AGAIN, BEHIND} & self.excuses
            or self._is_dead(before),
            f"{message.host} wrote to {message.key}, where {before.order if before else ''} is in doubt",
        )
        self._last_sent[message.key] = message

    def _is_dead(self, message: Message) -> bool:
        """A later one was accepted: whatever became of it, nothing does any more."""
        return message.nonce < self._accepted.get(message.key, 0)

    def arrived(self, message: Message, *, good: bool) -> bool:
        """Kraken's rule; ``good``: the sender waits in its turn, and its lease is good by its clock."""
        highest = self._accepted.get(message.key, 0)
        message.accepted = message.nonce > highest
        if message.accepted:
            self._accepted[message.key] = message.nonce
            self._execute(message)
            return True
        self.refused += 1
        self.require(
            not good or self._order_excused, f"{message.nonce} of {message.host} was refused, for {highest} came before"
        )
        return False

    def _execute(self, message: Message) -> None:
        if not message.order:
            before = self._last_sent.get(message.key)
            if before is not None and before.nonce < message.nonce:
                del self._last_sent[message.key]
            for change in self._uncleans:
                if change.epoch <= message.epoch:
                    change.fenced.add(message.key)
            return
        before = self._last_write.get(message.key)
        if before is not None and not {FORWARD, BEHIND, AGAIN} & self.excuses:
            self.require(
                message.epoch >= before.epoch,
                f"a write of {message.host} in epoch {message.epoch} was executed after one in {before.epoch}",
            )
        self._last_write[message.key] = message
        twice = message.order in self.executed and BEHIND not in self.excuses
        self.require(not twice, f"order {message.order} was executed twice")
        self.executed[message.order] = message.nonce

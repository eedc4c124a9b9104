"""Rounds on a clock, for every account side by side.

1. A round looks at the market once, for at most ``SCAN_LIMIT_S``, then walks each account through the gates on a
   thread of its own. Whatever happens to one account stays with it.
2. The next round starts ``interval_s`` after the one before. Where accounts are still busy it waits for them, but
   no longer than ``LATE_MAX_S``: who is busy even then is passed over in that round, and the others go on.
3. After ``stop`` no round, no gate and no signal starts. An order under way is seen to its end, for at most
   ``STOP_LIMIT_S``; what is not in an order has ``STOP_GRACE_S``, and is left then, such as a strategy that hangs.
4. Where the rounds are over, what they began has ``STOP_LIMIT_S``. Once ``run`` has returned nothing starts any more.
5. An account's strategy is called by one thread at a time.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum

from sealane.core.nonce import NS_PER_S
from sealane.errors import SettingsError
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.trading.executor import End
from sealane.trading.limits import HardLimits
from sealane.trading.look import LOOKS_MAX, SCAN_LIMIT_S, Look, too_late
from sealane.trading.market import PublicCalls, Scan, scan
from sealane.trading.passage import Passage
from sealane.trading.rounds import AccountRound, Rules, account_round
from sealane.trading.seats import Seat
from sealane.trading.strategy import Strategy, signals_of

INTERVAL_S = 60.0
INTERVAL_MIN_S, INTERVAL_MAX_S = 0.1, 86_400.0
LATE_MAX_S = 10.0
"""How long a round that is due waits for accounts that are still busy with the one before."""
STOP_LIMIT_S = 100.0
"""How long what is in flight may take to end: an order's 90 s, and a little."""
STOP_GRACE_S = 1.0
"""How long a stop waits for rounds that are not in an order, so that those about to end are in the summary."""

logger = logging.getLogger("sealane.trading")


@dataclass(frozen=True)
class Plan:
    """How a run is made.

    Attributes:
        limits: what no order goes beyond.
        live: orders are placed; False has Kraken check them only.
        interval_s: from the start of a round to the start of the next.
        rounds: how many; 0 for as many as come until it is stopped.
        late_max_s, stop_limit_s, scan_limit_s: see the head of this file.
    """

    limits: HardLimits
    live: bool = False
    interval_s: float = INTERVAL_S
    rounds: int = 0
    late_max_s: float = LATE_MAX_S
    stop_limit_s: float = STOP_LIMIT_S
    scan_limit_s: float = SCAN_LIMIT_S

    def __post_init__(self) -> None:
        if not INTERVAL_MIN_S <= self.interval_s <= INTERVAL_MAX_S:
            raise SettingsError(
                f"interval_s is {self.interval_s}: give {INTERVAL_MIN_S} … {INTERVAL_MAX_S:.0f} seconds"
            )
        if self.rounds < 0:
            raise SettingsError(f"rounds is {self.rounds}: give how many, or 0 for no end")
        if self.live:
            self.limits.check_for_live()


@dataclass(frozen=True)
class AccountSummary:
    """One account's part of a run.

    ``rounds`` were walked, ``passed`` through all five gates; ``passed_over`` were missed because it was busy. ``ends``
    counts signals by how they ended. ``last`` is the newest round, ``trouble`` what ended a round outside the gates.
    """

    account: str
    rounds: int = 0
    passed: int = 0
    passed_over: int = 0
    ends: Mapping[End, int] = field(default_factory=dict)
    last: AccountRound | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Summary:
    """A run that has ended.

    ``unfinished`` are accounts whose last round was left before its end, ``placing`` those of them that were in an
    order of a live run: what became of it is not known here. ``stopped``: by ``stop``, not by the number of rounds.
    """

    rounds: int
    stopped: bool
    accounts: tuple[AccountSummary, ...]
    unfinished: tuple[str, ...] = ()
    placing: tuple[str, ...] = ()


Told = Callable[[int, AccountRound], None]


class Runner:
    """Runs a strategy for several accounts.

    Args:
        seats: the accounts; their brokers stay open.
        strategy: makes a strategy, once an account.
        public: what asks Kraken for the market.
        plan: how it is run.
        told: is given every account's round as it ends, on that account's thread.
        clock: where the time comes from.

    ``stop`` may be called from any thread and from a signal handler.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        strategy: Callable[[], Strategy],
        public: PublicCalls,
        plan: Plan,
        *,
        told: Told = lambda number, done: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not seats:
            raise SettingsError("there is no account to run for")
        self._public, self._plan, self._told, self._clock = public, plan, told, clock
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()  # its put() is safe in a signal handler
        self._stopping, self._is_over = False, False
        self._looks: list[Look] = []
        rules = Rules(plan.limits, plan.live, clock.wall_ns, lambda: self._stopping or self._is_over)
        self._workers = [_Worker(seat, strategy(), rules) for seat in seats]

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True
        self._news.put(_News.STOP)

    def run(self) -> Summary:
        """Make the rounds; returns when they are over, or soon after ``stop``."""
        number, due_ns = 0, self._clock.boot_ns()
        while not self._plan.rounds or number < self._plan.rounds:
            self._wait_for_the_next(due_ns)
            if self.stopping():
                break
            number += 1
            due_ns = self._clock.boot_ns() + int(self._plan.interval_s * NS_PER_S)
            self._start(number)
        self._settle(self._plan.stop_limit_s, even_to_stop=False)
        self._finish()
        return Summary(
            number,
            self.stopping(),
            tuple(worker.summary for worker in self._workers),
            tuple(worker.account for worker in self._workers if worker.busy),
            self.placing(),
        )

    def placing(self) -> tuple[str, ...]:
        """The accounts that are in an order of a live run now; may be asked from a signal handler."""
        return tuple(worker.account for worker in self._workers if worker.placing)

    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping

    def _finish(self) -> None:
        """From here on nothing starts. Wait for what is in an order, and a moment for the rest where it was stopped."""
        self._is_over = True
        in_order = [worker for worker in self._workers if worker.shut()]
        self._wait_while(lambda: any(worker.busy for worker in in_order), self._plan.stop_limit_s)
        if self.stopping():
            self._settle(STOP_GRACE_S)

    def _start(self, number: int) -> None:
        seen = self._seen()
        if self.stopping():
            return
        for worker in self._workers:
            if worker.busy:
                logger.warning("%s is still busy: round %d is passed over", worker.account, number)
                worker.pass_over()
            else:
                worker.start(number, seen, self._told, lambda: self._news.put(_News.ENDED))

    def _seen(self) -> Scan:
        """Look at the market, within the limit; or until ``stop`` is called."""
        limit_s, pairs = self._plan.scan_limit_s, self._plan.limits.allowed_pairs
        self._looks = [look for look in self._looks if look.seen is None]
        if len(self._looks) >= LOOKS_MAX:
            return too_late(limit_s)
        look = Look(lambda: scan(self._public, pairs, self._clock.wall_ns), lambda: self._news.put(_News.SEEN))
        self._looks.append(look)
        self._wait_while(lambda: look.seen is None, limit_s, even_to_stop=False)
        return look.seen or too_late(limit_s)

    def _wait_for_the_next(self, due_ns: int) -> None:
        """Until the time has come, and then for the busy, within the limit."""
        self._wait_while(lambda: True, self._left_s(due_ns), even_to_stop=False)
        self._settle(self._plan.late_max_s, even_to_stop=False)

    def _settle(self, limit_s: float, *, even_to_stop: bool = True) -> None:
        """Wait until no account is busy, for at most ``limit_s``."""
        self._wait_while(lambda: any(worker.busy for worker in self._workers), limit_s, even_to_stop=even_to_stop)

    def _wait_while(self, true: Callable[[], bool], limit_s: float, *, even_to_stop: bool = True) -> None:
        """Wait for at most ``limit_s``; not longer than until ``stop`` is called, unless ``even_to_stop``."""
        until_ns = self._clock.boot_ns() + int(limit_s * NS_PER_S)
        while true() and (left_s := self._left_s(until_ns)) > 0:
            if self.stopping() and not even_to_stop:
                return
            self._hear(left_s)

    def _left_s(self, until_ns: int) -> float:
        return (until_ns - self._clock.boot_ns()) / NS_PER_S

    def _hear(self, limit_s: float) -> None:
        """Sleep until there is news, for at most ``limit_s``."""
        try:
            self._news.get(timeout=limit_s)
        except queue.Empty:
            return


class _News(Enum):
    """Why the runner is woken."""

    STOP = "stop"
    ENDED = "an account's round ended"
    SEEN = "a look at the market ended"


class _Worker:
    """One account's rounds, one at a time, each on a thread that does not keep the process from ending."""

    def __init__(self, seat: Seat, strategy: Strategy, rules: Rules) -> None:
        self.account = seat.account
        self.summary = AccountSummary(seat.account)
        self._seat, self._strategy, self._rules = seat, strategy, replace(rules, passage=Passage())
        self._mutex = threading.Lock()
        self.busy = False

    @property
    def placing(self) -> bool:
        """Whether an order of it is under way that is placed."""
        return self._rules.live and self._rules.passage.is_busy

    def shut(self) -> bool:
        """Let no further order start; whether one is under way."""
        return self._rules.passage.shut()

    def pass_over(self) -> None:
        """It missed a round."""
        with self._mutex:
            self.summary = replace(self.summary, passed_over=self.summary.passed_over + 1)

    def start(self, number: int, seen: Scan, told: Told, ended: Callable[[], None]) -> None:
        """Begin a round; ``ended`` is called after it, however it ends."""
        self.busy = True
        thread = threading.Thread(
            target=self._round, args=(number, seen, told, ended), name=f"round of {self.account}", daemon=True
        )
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:  # no thread to be had
            self._note(error)
            self.busy = False

    def _round(self, number: int, seen: Scan, told: Told, ended: Callable[[], None]) -> None:
        with self._to_its_end(ended):
            decide = lambda market, account: signals_of(self._strategy, market, account)  # noqa: E731
            done = account_round(self._seat, seen, self._rules, decide)
            with self._mutex:
                self.summary = _with(self.summary, done)
            told(number, done)

    @contextmanager
    def _to_its_end(self, ended: Callable[[], None]) -> Iterator[None]:
        """Whatever a round raises, the account is free for the next, and the others hear nothing of it."""
        try:
            yield
        except BaseException as error:  # a strategy may even call sys.exit
            self._note(error)
        finally:
            self.busy = False
            ended()

    def _note(self, error: BaseException) -> None:
        said = f"{type(error).__name__}: {error}"
        logger.error("a round of %s ended with %s", self.account, said, exc_info=error)
        with self._mutex:
            self.summary = replace(self.summary, trouble=said)


def _with(summary: AccountSummary, done: AccountRound) -> AccountSummary:
    ends = Counter(summary.ends) + Counter(execution.end for execution in done.executions)
    return replace(
        summary,
        rounds=summary.rounds + 1,
        passed=summary.passed + done.passed,
        ends=dict(ends),
        last=done,
    )

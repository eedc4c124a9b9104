"""What travels with a leased lane: keys' states, accounts' counters, and which keys are still to be fenced.

1. A key's state bears the lane and the epoch in which it was written, and the later one stands. What this host wrote
   and the engine did not hear yet is told as it stands in the host's files: never as it stood once.
2. That there is such a state is written into the lease's record first. So whichever process asks the engine next tells
   it; one that did not write it itself tells all the states of the lane.
3. Counters that changed are told as they stand; levels that come are merged with ours.
4. Who took the lane over says on which machine that was, once.
5. From which epoch on keys are to be fenced is told each time, for an engine may have lost it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sealane.core.hold import Hold
from sealane.core.lease import Lost
from sealane.core.travel import taken_over, travelling
from sealane.store.engine import Documents
from sealane.store.file import FileLane
from sealane.store.floors import GLOBAL_LANE
from sealane.store.host import Host

KEY, RATES, FENCE, HOLDER, EPOCH, LANE = "key ", "rates ", "fence", "holder", "epoch", "lane"
STAMPS = (EPOCH, LANE)
"""What a key's state bears beside what its callers know."""
WRITTEN_SLACK_S = 1.0

T = TypeVar("T")


def written_in(state: Mapping[str, object]) -> int:
    """In which epoch a key's state was written."""
    epoch = state.get(EPOCH, 0)
    return epoch if isinstance(epoch, int) else 0


class LaneDocuments:
    """See the head of this file. What a process knows of counters is not shared, and costs nothing to lose but time."""

    def __init__(self, files: FileLane, host: Host) -> None:
        self._files, self._host, self._clock = files, host, host.clock
        self._untold: set[str] = set()
        self._told_ns = 0
        self._mine: set[str] = set()
        self.holder = ""

    def write_key(self, fingerprint: str, state: Mapping[str, object], epoch: int) -> None:
        """Write a key's state, which the lease's record says is not told."""
        self._untold.add(fingerprint)
        self._files.write_key(fingerprint, {**state, EPOCH: epoch, LANE: self._files.name})

    def revise_rates(self, account: str, change: Callable[[Mapping[str, object]], tuple[Mapping[str, object], T]]) -> T:
        """See ``port.LaneStore``. What changed travels with the next renewal."""
        self._mine.add(account)
        return self._files.revise_rates(account, change)

    def take(self, documents: Documents, epoch: int) -> None:
        """What the last holder left, into this host's files, after a grant of an epoch."""
        for name, text in documents.items():
            if name.startswith(KEY):
                self._take_key(name.removeprefix(KEY), json.loads(text), epoch)
            elif name.startswith(RATES):
                self._merge_rates(name.removeprefix(RATES), json.loads(text))

    def _take_key(self, fingerprint: str, theirs: Mapping[str, object], epoch: int) -> None:
        """Ours stands where it is as new, for it may not have reached the engine; unless it is later than now."""
        if not written_in(theirs) <= written_in(self._files.read_key(fingerprint)) <= epoch:
            self._files.write_key(fingerprint, theirs)

    def _merge_rates(self, account: str, theirs: Mapping[str, object]) -> None:
        self._files.revise_rates(account, lambda ours: (taken_over(theirs, ours), None))

    def giving(self, hold: Hold, step: Callable[[Documents], T]) -> T:
        """Make a step with the documents that the engine does not have yet; they are forgotten once it has them."""
        since_ns, untold = self._clock.wall_ns(), self._untold_keys(hold)
        documents = {KEY + name: json.dumps(dict(self._files.read_key(name))) for name in untold}
        for account in self._accounts(since_ns):
            documents[RATES + account] = json.dumps(travelling(self._files.rates(account)))
        if self.holder:
            documents[HOLDER] = self.holder
        if hold.fence_epoch:
            documents[FENCE] = json.dumps(hold.fence_epoch)
        answer = step(documents)
        if not isinstance(answer, Lost):
            self._told_ns = since_ns
            self._untold -= untold
            self.holder = ""
        return answer

    def _untold_keys(self, hold: Hold) -> set[str]:
        if hold.untold in ("", self._host.process):
            return set(self._untold)
        return {key for key in self._files.known_keys() if self._files.read_key(key).get(LANE) == self._files.name}

    def after_fork(self) -> None:
        """In a forked child: what is not told yet is the parent's to tell."""
        self._untold.clear()

    def _accounts(self, wall_ns: int) -> Iterable[str]:
        """Whose counters may have changed: on the lane of all accounts, any that this host's processes wrote to."""
        if self._files.name != GLOBAL_LANE:
            return tuple(self._mine)
        return self._files.accounts(wall_ns, (wall_ns - self._told_ns) / 1e9 + WRITTEN_SLACK_S)

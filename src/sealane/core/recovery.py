"""What an ``EAPI:Invalid nonce`` leads to: evidence first, then few, recorded, capped jumps, then a stop.

1. The refused request was not executed, so it may be sent again at once under a new nonce: no wait is ever needed.
2. A number drawn outside any turn since this request's own explains the refusal: once more, without a jump.
3. Else the key is ahead of the lane. The lane's floor jumps 60 s; each refusal in a row multiplies the jump by ten.
4. After ``JUMPS_MAX`` jumps within ``WINDOW_S`` the key, and it alone, is quarantined with a diagnosis.

The diagnosis says what is known. A refusal does not tell Kraken's value; an earlier accepted GetApiKeyInfo may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sealane.core.nonce import MAX_NONCE, NS_PER_S

JUMP_S = 60
JUMP_FACTOR = 10
JUMPS_MAX = 3
WINDOW_S = 600
WINDOW_GOOD_S = 600
"""So long what GetApiKeyInfo said of a key's nonce window is believed."""
LOCKOUT_S = 300
"""How long a key rests after ``EGeneral:Temporary lockout``: Kraken says minutes, not how many."""


@dataclass(frozen=True)
class KeyState:
    """What one API key went through; kept by the store beside the lanes, and shared by every process.

    Times are Unix nanoseconds, 0 where it did not happen. Nonces are in the unit of the key's lane.

    Attributes:
        jumps_ns: when the lane jumped for this key, within the window.
        refused_in_a_row: nonce refusals since the last accepted call.
        quarantined_ns, diagnosis: when and why the key was stopped.
        fence_due: a write's end is unknown, so a harmless call goes before the next write.
        locked_until_ns: Kraken's temporary lockout; nothing is sent before.
        known_nonce, known_ns: what GetApiKeyInfo said last, and when.
        nonce_window, window_ns: the key's nonce window by GetApiKeyInfo, and when it said so.
    """

    jumps_ns: tuple[int, ...] = ()
    refused_in_a_row: int = 0
    quarantined_ns: int = 0
    diagnosis: str = ""
    fence_due: bool = False
    locked_until_ns: int = 0
    known_nonce: int = 0
    known_ns: int = 0
    nonce_window: int = 0
    window_ns: int = 0

    def window_is_known(self, now_ns: int) -> bool:
        """Whether Kraken said lately what the key's nonce window is: a person may change it at any time."""
        return bool(self.window_ns) and 0 <= now_ns - self.window_ns < WINDOW_GOOD_S * NS_PER_S

    @classmethod
    def loaded(cls, stored: Mapping[str, object]) -> KeyState:
        """The state that a store kept; fields that a newer release added are passed over."""
        known = {name: value for name, value in stored.items() if name in cls.__dataclass_fields__}
        jumps = known.pop("jumps_ns", ())
        return cls(jumps_ns=tuple(jumps if isinstance(jumps, (list, tuple)) else ()), **known)  # type: ignore[arg-type]

    def stored(self) -> dict[str, object]:
        """The state as plain JSON values."""
        return asdict(self)

    def accepted(self) -> KeyState:
        """After a call that Kraken accepted: nothing older can execute any more, and the row of refusals is over."""
        if not self.refused_in_a_row and not self.fence_due:
            return self
        return replace(self, refused_in_a_row=0, fence_due=False)

    def released(self) -> KeyState:
        """After a person acted: out of quarantine, with a fresh budget."""
        return replace(self, jumps_ns=(), refused_in_a_row=0, quarantined_ns=0, diagnosis="", locked_until_ns=0)


@dataclass(frozen=True)
class Again:
    """Send the same call again under a new nonce; nothing is to be raised."""


@dataclass(frozen=True)
class Jump:
    """Raise the lane's floor to ``floor`` and send again; ``key`` is the state to store first."""

    floor: int
    key: KeyState


@dataclass(frozen=True)
class Stop:
    """The key is quarantined; ``key`` is the state to store."""

    key: KeyState


def recover(
    key: KeyState, *, refused: int, last: int, now_ns: int, unit_ns: int, may_repeat: bool
) -> Again | Jump | Stop:
    """Decide what follows a refused nonce.

    ``refused`` is the nonce that Kraken refused, ``last`` the highest that the lane issued (both in the lane's unit);
    ``may_repeat`` is False once this call was repeated without a jump.
    """
    if last > refused and may_repeat:
        return Again()
    recent = tuple(at for at in key.jumps_ns if now_ns - WINDOW_S * NS_PER_S < at <= now_ns)
    if len(recent) >= JUMPS_MAX:
        diagnosis = diagnose(key, refused=refused, now_ns=now_ns, unit_ns=unit_ns)
        return Stop(replace(key, quarantined_ns=now_ns, diagnosis=diagnosis))
    row = min(key.refused_in_a_row, len(recent))  # a row that began before the window is over
    jump_s = JUMP_S * JUMP_FACTOR**row
    floor = max(last, now_ns // unit_ns) + jump_s * NS_PER_S // unit_ns
    after = replace(key, jumps_ns=(*recent, now_ns), refused_in_a_row=row + 1)
    return Jump(min(floor, MAX_NONCE - 1), after)


def diagnose(key: KeyState, *, refused: int, now_ns: int, unit_ns: int) -> str:
    """One paragraph for the person who has to act."""
    ahead_s = (refused * unit_ns - now_ns) / NS_PER_S
    seen = f"nonce {refused}, {ahead_s:,.0f} s ahead of this machine's clock, was refused after {JUMPS_MAX} jumps"
    if key.known_nonce:
        known_s = (key.known_nonce * unit_ns - key.known_ns) / NS_PER_S
        ahead = f"{round(known_s):,} s from the clock then"
        seen += f"; GetApiKeyInfo last told that Kraken held {key.known_nonce}, {ahead}"
    if key.refused_in_a_row >= JUMPS_MAX:
        guess = (
            "Consistent with a key that a program with a finer nonce unit, or a clock far ahead, has used: "
            "such a key cannot be wound back. Make a new API key and give it to Sealane alone"
        )
    else:
        guess = (
            "Calls in between were accepted: consistent with another program that uses this key now. "
            "Stop it, or give it a key of its own"
        )
    return f"{seen}. {guess}; then run 'sealane nonce raise' for the account, which lifts the quarantine."

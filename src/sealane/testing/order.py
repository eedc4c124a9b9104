"""The judge of a lane. It knows nothing of stores: it sees numbers, in the order in which they were given out."""

from __future__ import annotations


class OutOfOrder(AssertionError):
    """A number was given out that is not above one that had been given out, or promised as a floor, before."""


class NonceOrder:
    """Feed it every number that was issued, at the time it was; it raises OutOfOrder at the first that breaks it."""

    def __init__(self) -> None:
        self.last = 0
        self.floor = 0
        self.count = 0

    def issued(self, nonce: int, by: str = "") -> None:
        """A number was given out."""
        if nonce <= self.last:
            raise OutOfOrder(f"{by} was given {nonce} after {self.last}: {self.last - nonce} too low")
        if nonce <= self.floor:
            raise OutOfOrder(f"{by} was given {nonce} under the promised floor {self.floor}")
        self.last = nonce
        self.count += 1

    def promised(self, floor: int) -> None:
        """A floor was promised: everything later is above it."""
        self.floor = max(self.floor, floor)

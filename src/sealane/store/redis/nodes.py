"""Which node of a cluster has a slot. Learnt from the nodes' own words; one server alone has all slots.

A node that sends elsewhere (MOVED) is believed at once. One that does not answer is asked last from then on, so that
the next try goes to another, which knows who took its slots over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

Node = tuple[str, int]
"""Host and port."""


class Nodes:
    """The known nodes, the one to be asked first in front; safe from any thread."""

    def __init__(self, seed: Node) -> None:
        self._nodes: list[Node] = [seed]
        self._of_slot: dict[int, Node] = {}
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, slot: int | None = None) -> Node:
        """The one to ask for a slot."""
        with self._mutex:
            return self._of_slot.get(-1 if slot is None else slot, self._nodes[0])

    def meet(self, nodes: Iterable[Node]) -> None:
        """There are these, too."""
        with self._mutex:
            self._nodes += [node for node in dict.fromkeys(nodes) if node not in self._nodes]

    def moved(self, slot: int, node: Node) -> None:
        """A slot is at this node now."""
        self.meet([node])
        with self._mutex:
            self._of_slot[slot] = node

    def failed(self, node: Node) -> None:
        """The node did not answer."""
        with self._mutex:
            self._of_slot = {slot: other for slot, other in self._of_slot.items() if other != node}
            self._nodes = [other for other in self._nodes if other != node] + [node]


def nodes_in(slots: object, seen_from: Node) -> list[Node]:
    """The nodes in an answer to CLUSTER SLOTS; one that does not know its own name goes by the one it was asked by."""
    found: list[Node] = []
    for part in slots if isinstance(slots, list) else []:
        found += [(node[0] or seen_from[0], int(node[1])) for node in part[2:]]
    return found

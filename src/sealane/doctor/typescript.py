"""Just enough of TypeScript to read a configuration written in it: the objects that functions are called with.

    called(text, "service")     # [{"start": "sealane serve", "replicas": 1, "build": {…}, "env": {…}}]

Texts, numbers, true and false are read, and objects in objects; any other value is ``UNREAD``. What a spread brings
into an object is found where it is written out there, as ``{...(live ? { A: b() } : {})}`` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)
    |(?P<number>\d[\d_]*(?:\.\d+)?)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<mark>\.\.\.|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN, _SHUT = "([{", ")]}"
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}


class _Unread:
    """A value that is computed, so that nothing is known of it."""

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD = _Unread()


def called(text: str, function: str) -> list[dict[str, object]]:
    """The objects that a function is given, each call's first; ValueError where brackets do not match."""
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "blank"]
    words = [match.group() for match in tokens]
    _check(words)
    reader = _Reader(words)
    starts = [place for place in range(len(words) - 1) if words[place] == function and words[place + 1] == "("]
    found = (reader.object_in(place + 1) for place in starts)
    return [one for one in found if one is not None]


def _check(words: list[str]) -> None:
    still_open: list[str] = []
    for word in words:
        if word in _OPEN:
            still_open.append(_SHUT[_OPEN.index(word)])
        elif word in _SHUT and (not still_open or still_open.pop() != word):
            raise ValueError(f"a {word} that nothing opened")
    if still_open:
        raise ValueError(f"a {still_open[-1]} is missing at the end")


class _Reader:
    """Reads objects among words, whose brackets match."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def object_in(self, place: int) -> dict[str, object] | None:
        """The first object within the brackets that open at a place."""
        end = self._end(place)
        first = next((at for at in range(place + 1, end) if self._words[at] == "{"), None)
        return None if first is None else self._object(first)

    def _end(self, place: int) -> int:
        """Where the brackets that open at a place are shut."""
        depth = 0
        while True:
            depth += (self._words[place] in _OPEN) - (self._words[place] in _SHUT)
            if not depth:
                return place
            place += 1

    def _object(self, place: int) -> dict[str, object]:
        """The object that opens at a place."""
        found: dict[str, object] = {}
        for start, end in self._entries(place):
            if self._words[start] == "...":
                inner = (self._object(at) for at in range(start, end) if self._words[at] == "{")
                found.update(item for one in inner for item in one.items())
            elif start + 1 < end and self._words[start + 1] == ":":
                found[_bare(self._words[start])] = self._value(start + 2, end)
            else:  # a shorthand, a method, or a name that is computed
                found[_bare(self._words[start])] = UNREAD
        return found

    def _entries(self, place: int) -> Iterator[tuple[int, int]]:
        """Where the entries of an object begin and end."""
        end = self._end(place)
        start = at = place + 1
        while at < end:
            if self._words[at] == ",":
                if at > start:
                    yield start, at
                start = at + 1
            at = self._end(at) + 1 if self._words[at] in _OPEN else at + 1
        if start < end:
            yield start, end

    def _value(self, start: int, end: int) -> object:
        word = self._words[start] if start < end else ""
        if word == "{" and self._end(start) == end - 1:
            return self._object(start)
        if end - start != 1:
            return UNREAD
        if word[0] in "\"'`":
            return UNREAD if "${" in word else _bare(word)
        if word.replace("_", "").isdecimal():
            return int(word.replace("_", ""))
        return _WORDS.get(word, UNREAD)


def _bare(word: str) -> str:
    """A name or text without its quotes."""
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word[:1] in ('"', "'", "`") else word

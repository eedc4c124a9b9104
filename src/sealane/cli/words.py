"""Words on a command line that mean parameters: ``name=value``."""

from __future__ import annotations

from collections.abc import Iterable

from sealane.errors import SettingsError


def fields_in(texts: Iterable[str]) -> dict[str, str]:
    """The parameters by name; raises SettingsError for a word that is none, or a name given twice."""
    pairs = [_pair(text) for text in texts]
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise SettingsError(f"parameter {twice!r} is given twice: which one is meant?")
    return dict(pairs)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"{text!r} is no parameter: write name=value, such as pair=XBTUSD")
    return name, value

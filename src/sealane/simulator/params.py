"""The arguments of one call, read from a form or a JSON body, without guessing.

Kraken takes the same call as a form (`a=1&b=2`) or as JSON. Numbers may come as text or as JSON numbers; they are
kept exact: no float is made on the way.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from sealane.simulator.facts import bad_argument

FIELDS_MAX = 1000
NUMBER_CHARS_MAX = 40  # no amount and no 19-digit nonce is longer; keeps int() and Decimal() cheap
TRUE_WORDS = frozenset({"true", "1", "yes"})


def parse_body(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a request body; an empty dict when it cannot be read.

    JSON is taken by its content type, everything else is read as a form. A field given twice: the last one counts.
    """
    try:
        if "json" in content_type.lower():
            document = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
            return document if isinstance(document, dict) else {}
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except (ValueError, RecursionError):
        return {}


def parse_query(query: str) -> dict[str, Any]:
    """The fields of a public call's query string."""
    return parse_body(query.encode(), "")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class Params:
    """Typed access to the fields; a bad value is refused by `EGeneral:Invalid arguments:<name>`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def text(self, name: str) -> str | None:
        """The field as text; None when missing, empty or JSON null. Lists and objects are refused."""
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int, Decimal)):
            return str(value)
        raise bad_argument(name)

    def required(self, name: str) -> str:
        """The field as text, refused when missing."""
        value = self.text(name)
        if value is None:
            raise bad_argument(name)
        return value

    def flag(self, name: str) -> bool:
        """True for `true`, `1` and `yes` in any case: clients send `True`, `true` and `false` alike."""
        return (self.text(name) or "").lower() in TRUE_WORDS

    def integer(self, name: str) -> int | None:
        """A whole number, or None when missing."""
        value = self.text(name)
        if value is None:
            return None
        if len(value) > NUMBER_CHARS_MAX or not value.removeprefix("-").isdecimal() or not value.isascii():
            raise bad_argument(name)
        return int(value)

    def amount(self, name: str) -> Decimal | None:
        """A positive decimal number in plain notation, or None when missing."""
        value = self.text(name)
        if value is None:
            return None
        if len(value) > NUMBER_CHARS_MAX or not value.isascii() or not value.replace(".", "", 1).isdecimal():
            raise bad_argument(name)
        return _positive(name, value)

    def names(self, name: str) -> list[str]:
        """A comma list (`a,b`) or a JSON list of names; empty when missing."""
        value = self.fields.get(name)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return list(value)
        return [item.strip() for item in (self.text(name) or "").split(",") if item.strip()]


def _positive(name: str, value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise bad_argument(name) from None
    if number <= 0:
        raise bad_argument(name)
    return number

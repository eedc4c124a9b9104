"""Where log lines go and what they look like: for a person, or one JSON object a line for a program.

``SEALANE_LOG`` is ``text``, ``json`` or ``off``; ``SEALANE_LOG_LEVEL`` the least level that is shown. A library does
not set up logging: only the command line does, through ``log_to``.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from sealane.errors import SettingsError

FORMS = ("text", "json", "off")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def log_to(stream: TextIO | None, environ: Mapping[str, str], *, unset: str = "off") -> None:
    """Send the logger ``sealane`` and all below it to ``stream`` (default: stderr) as the environment says.

    ``unset`` is the form without ``SEALANE_LOG``. Called again it replaces what it did before. Raises SettingsError.
    """
    form, level = log_settings(environ, unset=unset)
    logger = logging.getLogger("sealane")
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Handler)]:
        logger.removeHandler(handler)
    if form != "off":
        handler = _Handler(stream)
        handler.setFormatter(JsonLines() if form == "json" else TextLines())
        logger.addHandler(handler)
        logger.setLevel(level)


def log_settings(environ: Mapping[str, str], *, unset: str = "off") -> tuple[str, str]:
    """The form and the least level of the log; raises SettingsError that names the variable."""
    form = _one_of("SEALANE_LOG", environ.get("SEALANE_LOG", "").strip().lower() or unset, FORMS)
    return form, _one_of("SEALANE_LOG_LEVEL", environ.get("SEALANE_LOG_LEVEL", "").strip().upper() or "INFO", LEVELS)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise SettingsError(f"{name} is {value!r}: choose one of {', '.join(choices)}")
    return value


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it is known again. Without a stream of its own it writes to what stderr is at the moment."""

    def __init__(self, stream: TextIO | None) -> None:
        logging.Handler.__init__(self)
        self._own = stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Where the next line goes."""
        return self._own or sys.stderr


class TextLines(logging.Formatter):
    """``2026-01-20T12:00:00.123Z INFO sealane.lane: …``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """RFC 3339 in UTC."""
        return _time_of(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``; of events ``event`` and their fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        document: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if dataclasses.is_dataclass(event) and not isinstance(event, type):
            document |= {"event": type(event).__name__, **dataclasses.asdict(event)}
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=_plain, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> str:
    made = datetime.fromtimestamp(record.created, UTC)
    return made.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else str(value)

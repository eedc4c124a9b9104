"""``sealane status``: how the accounts, lanes and virtual keys fare, from a running gateway or else from the store."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer
from rich.live import Live

from sealane.cli.output import JsonFlag, console, diagnostics, print_json, told_errors
from sealane.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from sealane.gateway.statistics_form import Document
    from sealane.gateway.unasked import StoreReader

EVERY_S = 2.0
ANSWER_S = 5.0
BYTES_MAX = 16 * 2**20
PATH = "/statistics"


def status(
    *,
    url: Annotated[
        str | None, typer.Option("--url", help="The gateway's; by default where sealane serve listens.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw it again every 2 s, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show how accounts, lanes and virtual keys fare: a running gateway's figures, else the store's."""
    with told_errors(as_json):
        if watch and as_json:
            raise SettingsError("--watch draws for a person: leave it away, and ask again for the next --json")
        address = url or _own_url(os.environ)
        with _first(address) as (document, reader):
            if as_json:
                print_json(document)
            elif watch:
                with suppress(KeyboardInterrupt):
                    _watch(address, document, reader)
            else:
                _show(document)


@contextmanager
def _first(url: str) -> Iterator[tuple[Document, StoreReader | None]]:
    """The first document, and the store's reader where it is from there; raises Unavailable where there is neither."""
    try:
        document = asked(url)
    except Unavailable as error:
        reader = _reader(error)
        try:
            diagnostics.print(f"{error}: this is what the store alone tells", soft_wrap=True, markup=False)
            yield reader.read(), reader
        finally:
            reader.close()
    else:
        yield document, None


def _reader(error: Unavailable) -> StoreReader:
    try:
        from sealane.gateway.unasked import StoreReader
    except ModuleNotFoundError as missing:
        raise Unavailable(f"{error}; reading the store needs {missing.name}") from None
    try:
        return StoreReader(os.environ)
    except Unavailable as none:
        raise Unavailable(f"{error}; {none}") from None


def _watch(url: str, document: Document, reader: StoreReader | None) -> None:
    """Draw again and again. A gateway that stops answering leaves its last document, told to be stale."""
    from sealane.cli.status_tables import drawn

    pause, stale = threading.Event(), ""
    with Live(drawn(document), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while not pause.wait(EVERY_S):
            try:
                document, stale = (reader.read() if reader else asked(url)), ""
            except Unavailable as error:
                stale = str(error)
            live.update(drawn(document, stale=stale), refresh=True)


def _show(document: Document) -> None:
    from sealane.cli.status_tables import drawn

    console.print(drawn(document))


# --- asking -----------------------------------------------------------------------------------------------------------


def _own_url(environ: Mapping[str, str]) -> str:
    """Where ``sealane serve`` of this environment listens."""
    from sealane.gateway.settings import ServeSettings

    settings = ServeSettings.from_env(environ, allow_network=True)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - to be recognised
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def asked(url: str) -> Document:
    """A gateway's document; raises Unavailable where none answers there, SettingsError where the URL is none."""
    connection = _connection(url)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        body = response.read(BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no gateway answers at {url} ({error or type(error).__name__})") from None
    finally:
        connection.close()
    return _checked(url, response.status, body)


def _connection(url: str) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if host is None or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise SettingsError(f"--url is {url!r}: give it as http://127.0.0.1:8710")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=ANSWER_S)


def _checked(url: str, answered: int, body: bytes) -> Document:
    from sealane.gateway.statistics_form import FORM

    try:
        document = json.loads(body)
        form = document["form"]
    except (ValueError, TypeError, KeyError):
        raise Unavailable(f"what answers at {url} is no gateway of Sealane (it said {answered})") from None
    if form != FORM:
        raise Unavailable(f"the gateway at {url} is of another release: its form is {form}, this one reads {FORM}")
    return cast("Document", document)

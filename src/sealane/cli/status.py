"""``sealane status``: how the accounts, lanes and virtual keys fare, from a running gateway or else from the store."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
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
        if watch and (as_json or not console.is_terminal):
            raise SettingsError("--watch draws on a terminal: leave it away, and ask again for the next document")
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
    with Live(drawn(document), console=console, screen=True, auto_refresh=False) as live:
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


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _own_url(environ: Mapping[str, str]) -> str:
    """Where ``sealane serve`` of this environment listens."""
    from sealane.gateway.settings import ServeSettings

    settings = ServeSettings.from_env(environ, allow_network=True)
    if settings.unix_socket:
        return f"unix:{settings.unix_socket}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - to be recognised
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


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
    if url.startswith("unix:/"):
        return _UnixConnection(url.removeprefix("unix:"), ANSWER_S)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if host is None or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise SettingsError(f"--url is {url!r}: give it as http://127.0.0.1:8710, or as unix:/path/to/socket")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=_trust(host, os.environ))
    return http.client.HTTPConnection(host, port, timeout=ANSWER_S)


def _trust(host: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Whom to believe: on loopback this environment's own certificate, whatever it is called; else the machine's."""
    from sealane.gateway.settings import is_loopback

    own = environ.get("SEALANE_TLS_CERT", "").strip()
    if not own or not is_loopback(host):
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=own)
    except OSError as error:
        raise SettingsError(f"SEALANE_TLS_CERT cannot be read: {error}") from None
    context.check_hostname, context.verify_flags = False, context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


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

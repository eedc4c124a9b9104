"""The dashboard over HTTP: the page, its document, its stream, and ``sealane status`` that reads it."""

import asyncio
import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from gateway_desk import asgi, gateway_desk

from dashboard_documents import (
    HOSTILE,
    Key,
    Policy,
    Scene,
    all_well,
    in_trouble,
    much_wrong,
    of_many,
    sighting,
    state,
    traffic,
    unseen,
    well,
)
from dashboard_server import LIMIT_S, shown
from sealane.cli import status as status_module
from sealane.errors import SettingsError, Unavailable
from sealane.gateway import wire
from sealane.gateway.app import make_app
from sealane.gateway.dashboard import stream
from sealane.gateway.dashboard.markup import Html, html, tag
from sealane.gateway.dashboard.page import content, page
from sealane.gateway.server import listen_on_path

STATUS = [sys.executable, "-m", "sealane.cli", "status"]


@pytest.fixture
def served():
    with shown() as found:
        yield found


# --- the page ---------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a page is made of; every element that is opened must be closed in its turn."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads, self.texts = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "document", [well(), in_trouble(), unseen(), of_many(3, 3)], ids=["well", "trouble", "new", "3"]
)
def test_the_page_is_whole_and_loads_nothing_from_elsewhere(document):
    outline = Outline(str(page(document)))
    assert all(re.match(r"[/#][^/]*", address) for address in outline.loads), outline.loads
    assert not any(address.startswith("//") for address in outline.loads)
    names = [name for name, _ in outline.tags]
    assert names.count("h1") == names.count("main") == names.count("header") == names.count("footer") == 1
    assert names.count("script") == 1, "its own, and none that somebody wrote"
    assert not {"style", "form", "button", "input", "iframe", "img"} & set(names)
    assert not any(name.startswith("on") or name == "style" for _, attributes in outline.tags for name in attributes)


def test_what_others_wrote_is_shown_as_they_wrote_it():
    text = str(page(in_trouble()))
    assert HOSTILE not in text
    said = "".join(Outline(text).texts)
    assert said.count(HOSTILE) >= 8, "as an account, a virtual key, a policy, a method, an error"


def test_markup_escapes_what_is_not_markup():
    assert html("<&") == "&lt;&amp;"
    assert tag("p", "<", tag("b", ">"), title='"') == '<p title="&quot;">&lt;<b>&gt;</b></p>'
    assert (
        tag("td", class_="x", data_label="a b", hidden=True, lang=None) == '<td class="x" data-label="a b" hidden></td>'
    )
    assert isinstance(tag("br"), Html)


def test_what_is_wrong_is_said_in_words():
    said = " ".join("".join(Outline(str(page(in_trouble()))).texts).split())
    for words in (
        "stale", "not known", "that is not zero", "unavailable", "1 of 4", "17.2 of 15", "throttled for another 9 s",
        "11 min ahead of the clock", "process 4242 (old-bot) for 64 s", "the clock leaped and is not followed",
        "withdraw-funds", "may move funds away", "refused after the last jump", "held by host (web-2 h2)", "paused",
        "expired", "revoked", "expires in 50 min", "1 denied, 7 throttled here", "EOrder:Insufficient funds",
    ):  # fmt: skip
        assert words in said, words


def test_each_plot_says_its_figures_in_words():
    labels = [row["aria-label"] for name, row in Outline(str(page(in_trouble()))).tags if row.get("role") == "img"]
    assert len(labels) == 3
    assert "905 in the last hour, at most 25 a minute" in labels[0]
    assert "15 refused, 2 without an answer" in labels[2]


def test_a_page_of_a_large_house_is_quickly_made():
    document = of_many(50, 100)
    best_s = float("inf")
    for _ in range(5):
        began_s = time.perf_counter()
        size = len(content(document))
        best_s = min(best_s, time.perf_counter() - began_s)
    assert best_s < 0.2, f"{best_s * 1_000:.0f} ms"
    assert size < 400_000


# --- its paths --------------------------------------------------------------------------------------------------------


def test_page_document_and_files_are_there_and_only_read(served):
    assert "grid-bot" in served.get("/")[1]
    document = json.loads(served.get("/statistics")[1])
    assert document["virtual_keys"][0]["name"] == "grid-bot"
    for path, kind in (
        ("/dashboard.js", "text/javascript"),
        ("/dashboard.css", "text/css"),
        ("/dashboard.svg", "image/svg"),
    ):
        status, body, headers = served.get(path)
        assert (status, headers["content-type"].startswith(kind), headers["cache-control"]) == (200, True, "no-store")
        assert "http" not in body.replace("http://www.w3.org/2000/svg", ""), "loads nothing from elsewhere"
    for path in ("/", "/statistics", "/events", "/dashboard.js"):
        assert served.get(path, "HEAD")[:2] == (200, "")
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert served.get(path, method)[0] == 405


def test_the_policy_lets_own_files_in_and_nothing_else(served):
    policy = served.get("/")[2]["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
        **dict.fromkeys(("form-action", "frame-ancestors", "base-uri"), "'none'"),
    }


def test_amounts_are_nowhere_where_they_are_not_to_be_shown():
    with shown(show_amounts=False) as served:
        for path in ("/", "/statistics"):
            said = served.get(path)[1]
            assert "85,304" not in said
            assert "81204" not in said
        assert "Amounts are not shown on this address" in served.get("/")[1]


def test_what_goes_through_the_gateway_shows_with_its_refusals_and_without_a_key_or_secret(keys, tmp_path):
    folder = tmp_path / "gateway"
    scene = all_well()

    async def go():
        async with gateway_desk(folder) as desk:
            bot, reader = desk.bot(), desk.bot("reader", allow=frozenset({"read"}))
            for _ in range(3):
                assert (await bot.ask("Balance")).errors == []
            order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "30000", "volume": "900"}
            assert (await bot.ask("AddOrder", order)).errors == ["EOrder:Insufficient funds"]
            assert (await reader.ask("AddOrder", order)).errors == ["EGeneral:Permission denied"]
            app = make_app(lambda: scene.state, gateway=desk.gateway, show_amounts=True)
            pages = [(await asgi(app, "GET", path)).body.decode() for path in ("/statistics", "/")]
            return pages, (bot.key, reader.key, base64.b64encode(bot.secret).decode())

    (document, markup), secrets = asyncio.run(go())
    rows = {one["name"]: one for one in json.loads(document)["virtual_keys"]}
    assert (rows["bot"]["calls"], rows["bot"]["outcomes"]["refused"], rows["bot"]["waiting"]) == (4, 1, 0)
    assert (rows["reader"]["outcomes"]["denied"], rows["reader"]["allow"]) == (1, ["read"])
    assert [one["method"] for one in json.loads(document)["errors"]] == ["AddOrder", "AddOrder"]
    for secret in (*secrets, *(one.api_key for one in keys.accounts), *(one.api_secret for one in keys.accounts)):
        assert secret not in document + markup
    assert "EOrder:Insufficient funds" in markup


# --- the stream -------------------------------------------------------------------------------------------------------


class Listening:
    """One stream, read as it comes."""

    def __init__(self, served, query=""):
        parts = urlsplit(served.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S)
        self.socket.sendall(f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = b"".join(iter(self._file.readline, b"\r\n")).decode().lower()

    def event(self):
        """The next one's name and what it carries; None at the end."""
        found = {}
        for line in self._file:
            name, _, value = line.decode().strip().partition(": ")
            if name in ("event", "data"):
                found[name] = value
            if len(found) == 2:
                return found["event"], json.loads(found["data"])
        return None

    def close(self):
        self._file.close()
        self.socket.close()


@contextmanager
def listening(served, query=""):
    found = Listening(served, query)
    try:
        yield found
    finally:
        found.close()


def until(true):
    pause = threading.Event()
    for _ in range(LIMIT_S * 50):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("not in time")


def test_the_stream_brings_the_document_again_and_again(served, monkeypatch):
    monkeypatch.setattr(stream, "EVERY_S", 0.05)
    monkeypatch.setattr(stream, "SHARED_S", 0.0)
    with listening(served) as one, listening(served, "?as=page") as other:
        assert "text/event-stream" in one.headers
        name, document = one.event()
        assert (name, document["status"]) == ("statistics", "pass")
        served.scene = Scene(state(sighting(("MASTER",), simulation="no key")), served.scene.traffic)
        for _ in range(LIMIT_S * 20):
            if (document := one.event()[1])["simulated"]:
                break
        assert document["simulated"] is True
        name, markup = other.event()
        assert (name, "<main" in markup) == ("page", True)


@pytest.mark.parametrize("query", ["?as=pages", "?as=", "?as=page&as=page", "?a=page"])
def test_a_form_that_there_is_not_is_refused(served, query):
    assert served.get(f"/events{query}")[0] == 404


def test_streams_are_bounded_and_a_place_is_free_again(served, monkeypatch):
    monkeypatch.setattr(stream, "STREAMS_MAX", 3)
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(served)) for _ in range(3)]
        assert [one.status for one in listeners] == [200] * 3
        assert served.get("/events")[0] == 503
        assert served.get("/")[0] == 200
        listeners[0].close()
        with ExitStack() as more:
            until(lambda: more.enter_context(listening(served)).status == 200)


def test_who_takes_nothing_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(wire, "TAKE_LIMIT_S", 0.2)
    monkeypatch.setattr(stream, "EVERY_S", 0.001)
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)
    parts = urlsplit(served.url)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.settimeout(LIMIT_S)
        slow.connect((parts.hostname, parts.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        assert served.get("/events", "HEAD")[0] == 503, "its place is taken"
        until(lambda: served.get("/events", "HEAD")[0] == 200)


def test_the_end_of_the_service_ends_streams_at_once(served):
    with listening(served) as one, listening(served, "?as=page") as other:
        assert one.event() is not None
        assert other.event() is not None
        began_s = time.perf_counter()
        served.end()
        took_s = time.perf_counter() - began_s
        with pytest.raises((ConnectionError, AssertionError)):
            assert one.event() is not None
    assert took_s < 2.0, "and not after the time that answers have to come to their end"


# --- on a terminal ----------------------------------------------------------------------------------------------------


def status(*options, code=0, **environ):
    done = subprocess.run(
        [*STATUS, *options], capture_output=True, text=True, timeout=60, env=os.environ | environ, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_status_shows_a_running_gateway_s_figures(served):
    found = status("--url", served.url)
    for words in ("● Pass", "$85,304.19", "3.2 of 15", "grid-bot", "1 799 999 999", "behind the clock", "888"):
        assert words in found.stdout.replace("\u00a0", " "), found.stdout
    assert found.stderr == ""
    document = json.loads(status("--url", served.url, "--json").stdout)
    assert (document["source"], len(document["accounts"])) == ("gateway", 2)


def test_without_a_gateway_the_store_is_read_and_that_is_said(keys):
    status("--url", "http://127.0.0.1:9", code=4)
    subprocess.run([*STATUS[:3], "nonce", "next"], check=True, capture_output=True, timeout=60)
    asked = keys.journal()["summary"]["requests"]
    found = status(PORT="9")
    assert "from the store" in found.stdout
    assert "no gateway answers at http://127.0.0.1:9" in found.stderr
    assert "not known" in found.stdout
    document = json.loads(status("--url", "http://127.0.0.1:9", "--json").stdout)
    assert (document["source"], document["accounts"][0]["balance"]) == ("store", None)
    assert keys.journal()["summary"]["requests"] == asked, "nobody was asked"


def test_what_is_no_gateway_is_told_as_such(sim):
    found = status("--url", sim.url, code=4)
    assert "is no gateway of Sealane" in " ".join(found.stderr.split())


@pytest.mark.parametrize("url", ["127.0.0.1:8710", "ftp://127.0.0.1", "http://[", "http://127.0.0.1/x", ""])
def test_a_url_that_is_none_is_an_error_with_its_remedy(url):
    with pytest.raises(SettingsError, match="give it as http"):
        status_module.asked(url)


@pytest.mark.parametrize("option", [["--json"], []])
def test_watching_is_for_people(option):
    assert "--watch draws on a terminal" in " ".join(status("--watch", *option, code=2).stderr.split())


def test_watching_a_gateway_that_stops_tells_that_its_figures_are_stale(monkeypatch):
    from rich.console import Console

    said, ends = io.StringIO(), iter((well(), Unavailable("no gateway answers"), KeyboardInterrupt()))

    def asked(url):
        end = next(ends)
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr(status_module, "EVERY_S", 0.0)
    monkeypatch.setattr(status_module, "asked", asked)
    monkeypatch.setattr(status_module, "console", Console(file=said, force_terminal=True, width=100, height=60))
    status_module.status(url="http://127.0.0.1:9", watch=True)
    assert "STALE since 08:00:00 UTC: no gateway answers" in said.getvalue()
    assert "$85,304.19" in said.getvalue().partition("STALE")[2], "what was last seen stays"


def test_a_unix_socket_is_asked_too(tmp_path):
    path = tmp_path / "s"
    with shown(listener=listen_on_path(str(path))) as served:
        assert served.url == f"unix:{path}"
        assert status_module.asked(served.url)["status"] == "pass"
        assert status_module._own_url({"SEALANE_UNIX_SOCKET": str(path)}) == served.url
    with pytest.raises(Unavailable, match="no gateway answers at unix:"):
        status_module.asked(f"unix:{path}")


def test_on_loopback_the_environment_s_own_certificate_is_believed_and_no_other(tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine, which makes the certificate")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    more = ["-subj", "/CN=lane.example", "-days", "2", "-out", files[0], "-keyout", files[1]]
    subprocess.run([*make, *more], check=True, capture_output=True, timeout=60)
    with shown(tls=tuple(map(str, files))) as served:
        with pytest.raises(Unavailable, match=r"self.signed"):
            status_module.asked(served.url)
        monkeypatch.setenv("SEALANE_TLS_CERT", str(files[0]))
        assert status_module.asked(served.url)["status"] == "pass"
        assert status_module._own_url({"SEALANE_TLS_CERT": "c", "SEALANE_TLS_KEY": "k"}) == "https://127.0.0.1:8710"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:8710"),
        ({"SEALANE_HOST": "0.0.0.0", "PORT": "9"}, "http://127.0.0.1:9"),
        ({"SEALANE_HOST": "::"}, "http://[::1]:8710"),
        ({"SEALANE_HOST": "::1"}, "http://[::1]:8710"),
    ],
)
def test_the_environment_s_own_gateway_is_asked(environ, url):
    assert status_module._own_url(environ) == url


def test_a_terminal_is_not_steered_by_what_others_wrote():
    from rich.console import Console

    from sealane.cli.status_tables import drawn

    console = Console(width=100, color_system=None, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    evil = (Key("a\x1b[2Jb", "MASTER", Policy(frozenset({"[red]read[/]"}))),)
    document = Scene(much_wrong().state, traffic(), evil).document()
    with console.file:
        console.print(drawn(document, stale="\x1b[31mgone"))
        text = console.export_text()
    assert "\x1b" not in text
    assert "a?[2Jb" in text
    assert "[red]read[/]" in text
    assert "STALE since" in text

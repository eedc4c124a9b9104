"""The dashboard in a headless Chromium: fresh in place, stale when it is, and accessible by axe-core's rules.

Needs a Chromium, and npm for axe-core (one package, fetched once a run); what is missing is skipped, with the reason.
"""

import shutil
import subprocess

import pytest
from chromium import browser, found

from dashboard_documents import Scene, all_well, before_a_look, much_wrong, sighting, state
from dashboard_server import shown
from sealane.gateway.dashboard import stream

AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LATER = "const real = Date.now.bind(Date); Date.now = () => real() + 10000; true"
"""The page's clock leaps, so that no test waits for it to get stale."""

pytestmark = pytest.mark.skipif(found() is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def tab():
    with browser() as new:
        yield new()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """axe-core's source, from the npm registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine, which axe-core is fetched with")
    folder = tmp_path_factory.mktemp("axe")
    command = [
        npm,
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefer-offline",
        "--prefix",
        folder,
        AXE,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm could not fetch {AXE}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(stream, "EVERY_S", 0.1)
    monkeypatch.setattr(stream, "SHARED_S", 0.0)
    with shown() as running:
        yield running


def text_of(tab, place="body"):
    return tab.run(f"document.querySelector('{place}').innerText")


def violations(tab, axe):
    """What axe-core finds, as one line each."""
    tab.run(axe + "; true")
    told = tab.run(f"axe.run(document, {{ runOnly: {RULES}, resultTypes: ['violations'] }})")
    return [f"{row['id']}: {[node['target'] for node in row['nodes']][:3]}" for row in told["violations"]]


SCENES = {"well": all_well, "trouble": much_wrong, "new": before_a_look}


@pytest.mark.parametrize(
    ("scene", "width", "dark"),
    [
        ("trouble", 1280, False),
        ("trouble", 360, True),
        ("well", 360, False),
        ("new", 1280, True),
    ],
)
def test_it_is_accessible_and_fits(tab, axe, scene, width, dark):
    with shown(SCENES[scene]()) as served:
        tab.open(served.url, width, dark=dark)
        tab.run("for (const one of document.querySelectorAll('.assets')) one.open = true; true")
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert violations(tab, axe) == []
        shade = tab.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)")
        assert (shade < 200) is dark


def test_axe_finds_what_is_wrong(tab, axe, served):
    tab.open(served.url)
    tab.run(
        "document.documentElement.removeAttribute('lang'); document.styleSheets[0].insertRule('h1 { color: #eee }')"
    )
    told = violations(tab, axe)
    assert any(row.startswith("html-has-lang") for row in told)
    assert any(row.startswith("color-contrast") for row in told)


def test_it_asks_nobody_else_and_its_console_is_silent(tab, served):
    tab.open("about:blank")
    tab.asked.clear()
    tab.said.clear()
    tab.open(served.url)
    tab.until("document.documentElement.classList.contains('fresh')")
    assert {address.removeprefix(served.url) for address in tab.asked} == {
        "/",
        "/dashboard.css",
        "/dashboard.js",
        "/dashboard.svg",
        "/events?as=page",
    }
    assert tab.said == []


def test_it_changes_in_place_and_leaves_alone_what_the_reader_holds(tab, served):
    tab.open(served.url)
    tab.until("document.documentElement.classList.contains('fresh')")
    tab.run("var held = document.querySelector('.assets'); held.open = true; held.firstChild.focus(); true")
    served.scene = Scene(state(sighting(("MASTER", "bert", "carl"))), served.scene.traffic)
    tab.until("document.body.innerText.includes('carl')")
    assert "anna" not in text_of(tab)
    assert tab.run("[held.isConnected, held.open, document.activeElement === held.firstChild]") == [True, True, True]
    served.scene = much_wrong()
    tab.until("document.body.innerText.includes('Kraken locked the key out')")
    tab.until("document.title.startsWith('warn')")
    assert tab.run("document.scripts.length") == 1, "what others wrote stays text"


def test_when_the_stream_breaks_everything_is_stale_until_it_is_back(tab, served, axe):
    tab.open(served.url)
    tab.until("document.documentElement.classList.contains('fresh')")
    assert text_of(tab, "#stale") == ""
    served.end()
    tab.run(LATER)
    tab.until("document.documentElement.classList.contains('stale')")
    assert "Stale since" in text_of(tab, "#stale")
    assert "the gateway does not answer" in text_of(tab, "#stale")
    assert tab.run("document.title").startswith("stale")
    assert "grayscale(1)" in tab.run("getComputedStyle(document.getElementById('page')).filter")
    assert "$85,304.19" in text_of(tab), "what was last seen stays"
    assert violations(tab, axe) == []
    with shown(port=int(served.url.rpartition(":")[2])):
        tab.run("{ const real = Date.now; Date.now = () => real() + 10000 } true")
        tab.until("document.documentElement.classList.contains('fresh')")
        assert text_of(tab, "#stale") == ""


def test_one_viewer_too_many_is_told_why(tab, monkeypatch):
    monkeypatch.setattr(stream, "STREAMS_MAX", 0)
    with shown() as served:
        tab.open(served.url)
        tab.run(LATER)
        tab.until("document.getElementById('stale').innerText.includes('as many viewers as it takes')")
        assert "$85,304.19" in text_of(tab)


def test_without_script_it_is_the_same_page_and_comes_again(tab, served):
    tab.open(served.url, script=False)
    told = served.get("/")[1]
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in told
    tab.command("Emulation.setScriptExecutionDisabled", value=False)
    assert "$85,304.19" in text_of(tab)
    assert tab.run("document.documentElement.className") == "", "nothing ran"


def test_it_is_used_by_keyboard(tab, served):
    tab.open(served.url)
    tab.press("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left") >= 0, "it shows when it is reached"
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter")
    tab.until("document.activeElement.id === 'figures'")
    tab.press("Tab")
    assert tab.run("document.activeElement.closest('main') !== null"), "and goes on from there"


def test_nothing_moves_for_those_who_want_that(tab, served):
    tab.open(served.url)  # with prefers-reduced-motion: reduce
    assert tab.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    slow = "getComputedStyle(one).transitionDuration !== '0s'"
    assert tab.run(f"[...document.querySelectorAll('*')].filter(one => {slow}).length") == 0

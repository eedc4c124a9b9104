"""Restarts as platforms do them: the image's own entrypoint runs a bot, which is stopped, killed, and started again
with its volume kept, lost, or rewound to an older copy. The simulated exchange judges."""

import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from container import ROOT, USER, Container, Image, build, python_for_all

NS_PER_S = 1_000_000_000
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
LOADED = re.compile(r"Loaded persisted nonce: (\d+), using: (\d+)")
CALLS = 5
PROBE_LIMIT_S = 20


@pytest.fixture(scope="module")
def image():
    """What the Dockerfile makes, in a folder that every user can read, and a bot in it."""
    folder = Path(tempfile.mkdtemp(prefix="sealane-image-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        uv = UV if UV.exists() else shutil.which("uv")
        assert uv, "uv is neither in .tools nor on the path: make setup brings it"
        made: Image = build(folder, Path(uv))
        shutil.copy(Path(__file__).with_name("rehearsed_bot.py"), folder / "app" / "bot.py")
        (folder / "app" / "bot.py").chmod(0o644)
        if python_for_all() is None:
            print(f"no Python that user {USER} can run: rehearsed without the entrypoint")
            made.entrypoint = []
        yield made
    finally:
        shutil.rmtree(folder)


class Platform:
    """Starts containers on one volume, and does to the volume what platforms do."""

    def __init__(self, image, kraken):
        self._image, self._kraken = image, kraken
        account = kraken.accounts[0]
        self.volume = image.folder / "volume"
        self._env = {
            "DATA_DIR": str(self.volume),
            "KRAKEN_SPOT_URL": kraken.url,
            "KRAKEN_API_KEY": account.api_key,
            "KRAKEN_API_SECRET": account.api_secret,
        }
        self.volume.mkdir()

    def start(self, *command):
        return Container(self._image, self._env, *(command or ("python", "bot.py")))

    def deploy(self, calls=CALLS, sent=signal.SIGTERM):
        """One deployment's life: start, some calls, the end. Returns its log."""
        with self.start() as bot:
            bot.until("answered", calls)
            code = bot.stop(sent)
        assert code == (0 if sent == signal.SIGTERM else -signal.SIGKILL)
        return bot.log

    def run_ahead(self, seconds):
        """Let the lane's nonces stand so far above the clock."""
        with self.start("sealane", "nonce", "raise", "--by-s", str(seconds)) as raising:
            assert raising.end() == 0, raising.log

    def copy(self):
        shutil.copytree(self.volume, self.volume.with_name("backup"))

    def lose(self):
        shutil.rmtree(self.volume)
        self.volume.mkdir()

    def rewind(self):
        shutil.rmtree(self.volume)
        self.volume.with_name("backup").rename(self.volume)
        if os.geteuid() == 0:  # a platform puts files back as its own, often root's
            for path in [self.volume, *self.volume.rglob("*")]:
                os.chown(path, 0, 0)

    @property
    def highest(self):
        return int(self._kraken.state()["accounts"]["MASTER"]["highest_nonce"])

    @property
    def refused(self):
        summary = self._kraken.journal()["summary"]
        assert summary["max_overlap"] == 1
        return summary["refused_nonce"]


@pytest.fixture
def platform(image, kraken):
    made = Platform(image, kraken)
    yield made
    for name in ("volume", "backup"):
        shutil.rmtree(image.folder / name, ignore_errors=True)


def loaded(log):
    """The two numbers of 'Loaded persisted nonce: …, using: …'."""
    ((persisted, using),) = {match.groups() for line in log if (match := LOADED.search(line))}
    return int(persisted), int(using)


@pytest.mark.parametrize("sent", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.kill)])
def test_the_volume_is_kept(platform, sent):
    first = platform.deploy(sent=sent)
    assert "No persisted nonce found" in "\n".join(first)
    before = platform.highest
    persisted, using = loaded(platform.deploy())
    assert using > persisted >= before
    assert platform.refused == 0


def test_the_volume_is_kept_and_the_clock_stands_behind_it(platform):
    platform.run_ahead(3600)
    platform.deploy()
    before = platform.highest
    assert before > time.time_ns() + 3000 * NS_PER_S
    persisted, using = loaded(platform.deploy())
    assert using == persisted + 1 > before
    assert platform.refused == 0


def test_the_volume_is_lost(platform):
    platform.deploy()
    platform.lose()
    assert "No persisted nonce found" in "\n".join(platform.deploy())
    assert platform.refused == 0


def test_the_volume_is_lost_while_nonces_were_ahead_of_the_clock(platform):
    """Not promised to be in order: recovery, one refusal and one jump."""
    platform.run_ahead(30)
    platform.deploy()
    platform.lose()
    log = "\n".join(platform.deploy())
    assert "jumped the nonce floor" in log
    assert platform.refused == 1


def test_restarts_of_a_stopped_key_ask_kraken_no_more(platform, kraken):
    """Too far ahead for the jumps: the key is stopped, and stays so over restarts: a platform may try ten."""
    kraken.update_account("MASTER", nonce=time.time_ns() + 86_400 * NS_PER_S)
    for restart in range(3):
        with platform.start() as bot:
            assert bot.end() == 6
        assert any("quarantined" in line for line in bot.log), bot.log
        assert platform.refused == 4, restart


def test_the_volume_is_rewound(platform):
    platform.deploy()
    platform.copy()
    platform.deploy()
    before = platform.highest
    platform.rewind()
    persisted, using = loaded(platform.deploy())
    assert persisted < before < using
    assert platform.refused == 0


def test_the_volume_is_rewound_while_nonces_were_ahead_of_the_clock(platform):
    platform.deploy()
    platform.copy()
    platform.run_ahead(30)
    platform.deploy()
    before = platform.highest
    platform.rewind()
    log = platform.deploy()
    persisted, using = loaded(log)
    assert persisted < using < before
    assert "jumped the nonce floor" in "\n".join(log)
    assert platform.refused == 1


def test_old_and_new_overlap_on_one_volume(platform, kraken):
    with platform.start() as old, platform.start() as new:
        for bot in (old, new, old, new):
            bot.until("answered", CALLS)
        assert old.stop() == 0
        new.until("answered", CALLS)
        assert new.stop() == 0
    assert kraken.journal()["summary"]["nonces_rose"]
    assert platform.refused == 0


GATEWAY = ("sealane", "serve", "--host", "127.0.0.1", "--port", "0", "--json")


def ask(url, path):
    """The status with which the gateway answers a probe; Railway's come under a name of its own."""
    request = Request(url + path, headers={"Host": "healthcheck.railway.app"})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


def well(url, path):
    """Whether a probe is answered 200 in the end, as a platform asks: again and again."""
    ends_s = time.monotonic() + PROBE_LIMIT_S
    while ask(url, path) != 200:
        if time.monotonic() > ends_s:
            return False
    return True


def serving(gateway, sign="Kraken Balance"):
    """Where it serves, once this stands in its log."""
    url = re.search(r'"url": "(http://[^"]+)"', gateway.until('"url"'))[1]
    if not any(sign in line for line in gateway.log):
        gateway.until(sign)
    return url


def test_the_gateway_is_redeployed(platform):
    """The new one comes up and is well while the old one runs, as without a volume; then the old one goes."""
    with platform.start(*GATEWAY) as old:
        serving(old)
        with platform.start(*GATEWAY) as new:
            url = serving(new)
            assert well(url, "/livez")
            assert well(url, "/health/kraken-nonce")
            assert old.stop() == 0
            assert ask(url, "/livez") == 200
            assert new.stop() == 0
    persisted, using = loaded(new.log)
    assert using > persisted
    assert platform.refused == 0


def test_a_gateway_whose_key_is_stopped_stays_up(platform, kraken):
    """It does not end, so it costs the platform no restart; started again, it asks Kraken nothing."""
    kraken.update_account("MASTER", nonce=time.time_ns() + 86_400 * NS_PER_S)
    for _ in range(2):
        with platform.start(*GATEWAY) as gateway:
            url = serving(gateway, "quarantined")
            assert ask(url, "/livez") == 200
            assert gateway.stop() == 0
        assert platform.refused == 4


def test_the_image_holds_the_program_and_no_source(image):
    assert {path.name for path in (image.folder / "app").iterdir()} == {".venv", "bot.py", "data", "entrypoint.sh"}
    installed = image.folder / "app" / ".venv" / "lib"
    assert len(list(installed.rglob("site-packages/sealane/__init__.py"))) == 1
    assert not list(installed.rglob("ccxt")), "the test environment's packages do not belong there"

"""All checks in order: the files before Kraken is asked, since asking draws nonces and so changes them.

Each check runs on a thread of its own with a limit, because a folder on a dead network mount blocks for ever.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import unquote

from sealane.client.session import Session
from sealane.core.nonce import unit_ns
from sealane.core.secret import Credentials
from sealane.doctor.clock import ClockFacts, judge_clock, unix_time
from sealane.doctor.deploy_files import judge_deploy_files
from sealane.doctor.engine_check import EngineFacts, ask_engine, judge_engine, without_lasting
from sealane.doctor.finding import Finding, fault, skipped
from sealane.doctor.folder import FolderFacts, judge_folder, look_at_folder
from sealane.doctor.key_states import judge_states
from sealane.doctor.keys import ask_key, judge_key
from sealane.doctor.mounts import MOUNTINFO
from sealane.doctor.names import judge_names
from sealane.doctor.nonce_files import judge_nonce_files
from sealane.doctor.platform import judge_platform
from sealane.doctor.settings_check import SettingsFacts, judge_settings, last_nonce_of, read_settings
from sealane.doctor.store_facts import StoreFacts, read_store
from sealane.doctor.writers import judge_writers, watch_lane
from sealane.errors import SealaneError
from sealane.runtime import threads
from sealane.runtime.clock import SYSTEM_CLOCK, Clock
from sealane.transport.http import HttpTransport, limits

CHECK_LIMIT_S = 30.0
KEY_LIMIT_S = 120.0
TIME_LIMIT_S = 10.0
OFFLINE = "not asked, since --offline was given"
_SECRET_NAME = re.compile(r"SECRET|API_?KEY|_KEY$|OTP|PASSWORD|PASSWD|TOKEN|PEM", re.IGNORECASE)
_SECRET_CHARS_MIN = 6
_USER_INFO = re.compile(r"//[^/@\s]+@")
_PASSWORD = re.compile(r"//[^/@:\s]*:([^/@\s]+)@")


@dataclass
class Visit:
    """One look at one installation.

    Args:
        environ: the environment that is looked at; calls to Kraken are made with its keys.
        account: look at this account alone, None for all.
        offline: ask Kraken nothing.
        deploy_folder: where files for platforms are looked for.
        clock, pause, mountinfo: stand-ins for tests.
        check_limit_s: how long one check may take.
    """

    environ: Mapping[str, str]
    account: str | None = None
    offline: bool = False
    deploy_folder: Path = field(default_factory=Path)
    clock: Clock = SYSTEM_CLOCK
    pause: Callable[[float], None] = time.sleep
    mountinfo: Path = MOUNTINFO
    check_limit_s: float = CHECK_LIMIT_S

    @cached_property
    def settings(self) -> SettingsFacts:
        """The environment as understood."""
        return read_settings(self.environ, self.account)

    @cached_property
    def folder(self) -> FolderFacts | None:
        """The data folder, None where the store is in none."""
        folder = self.settings.folder
        return None if folder is None else look_at_folder(folder, self.mountinfo)

    @cached_property
    def engine(self) -> EngineFacts | None:
        """The engine that leases the lanes, None where there is none."""
        return ask_engine(self.settings.settings, self.clock) if self.settings.is_leased else None

    @cached_property
    def store(self) -> StoreFacts | None:
        """What stands in the data folder, None where there is none, or none that can be looked into."""
        if self.folder is None or not self.folder.is_readable:
            return None
        unit, floor = unit_ns(self.settings.settings.nonce_unit), last_nonce_of(self.environ)
        return read_store(self.folder.path, env_floor=floor, unit_ns=unit, wall_ns=self.clock.wall_ns())


def examine(visit: Visit) -> list[Finding]:
    """Look at everything; never raises."""
    found: list[Finding] = []
    for name, act, limit_s in _checks(visit):
        found += guarded(name, act, limit_s)
    return scrubbed(found, visit.environ)


Check = tuple[str, Callable[[], Iterable[Finding]], float]


def _checks(visit: Visit) -> Iterator[Check]:
    limit_s = visit.check_limit_s
    yield "the settings", lambda: judge_settings(visit.settings), limit_s
    yield "the variables' names", lambda: judge_names(visit.environ), limit_s
    yield "the engine", lambda: judge_engine(visit.engine) if visit.engine else (), limit_s
    yield "the data folder", lambda: _folder(visit), limit_s
    yield "the platform", lambda: _platform(visit), limit_s
    yield "the nonce files", lambda: _nonce_files(visit), limit_s
    yield "other writers", lambda: _writers(visit), limit_s
    yield "the state files", lambda: _states(visit), limit_s
    yield "the deploy files", lambda: judge_deploy_files(visit.deploy_folder, visit.environ), limit_s
    yield "Kraken's clock", lambda: _clock(visit), limit_s
    yield from _keys(visit)


def guarded(name: str, act: Callable[[], Iterable[Finding]], limit_s: float) -> list[Finding]:
    """What a check finds; where it breaks or takes too long, that is what is found."""
    found: list[Finding] = []
    broken: list[str] = []

    def run() -> None:
        try:
            found.extend(act())
        except Exception as error:  # its text could hold a secret, its name cannot
            broken.append(type(error).__name__)

    thread = threading.Thread(target=run, name=f"sealane-doctor {name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        return [
            *found,
            _unchecked(name, f"no end within {limit_s:g} s; a network mount that does not answer does that"),
        ]
    return [*found, *(_unchecked(name, kind) for kind in broken)]


def _unchecked(name: str, why: str) -> Finding:
    return fault("doctor", name, f"could not be checked: {why}", "mend what the other findings name, then look again")


# --- the checks that need more than one thing ---------------------------------------------------------------------


def _folder(visit: Visit) -> list[Finding]:
    if visit.folder is None:
        return [skipped("folder-there", "SEALANE_STORE", "the store is not in a folder")]
    found = judge_folder(visit.folder)
    return list(without_lasting(found, visit.folder)) if visit.settings.is_leased else found


def _platform(visit: Visit) -> list[Finding]:
    if visit.folder is None:
        return [skipped("platform-volume", "SEALANE_STORE", "the store is not in a folder")]
    found = judge_platform(visit.environ, visit.folder)
    return list(without_lasting(found, visit.folder)) if visit.settings.is_leased else found


def _nonce_files(visit: Visit) -> Iterable[Finding]:
    if visit.store is None:
        return [skipped("nonce-file", "the data folder", "there is no data folder that can be looked into")]
    wall_ns, boot_ns = visit.clock.wall_ns(), visit.clock.boot_ns()
    lanes, floor = visit.settings.settings.lanes, last_nonce_of(visit.environ)
    return judge_nonce_files(visit.store, lanes=lanes, env_floor=floor, wall_ns=wall_ns, boot_ns=boot_ns)


def _writers(visit: Visit) -> Iterator[Finding]:
    for lane in visit.store.lanes if visit.store else ():
        if lane.file.content is not None:
            yield from judge_writers(lane, watch_lane(lane, visit.pause))


def _states(visit: Visit) -> Iterable[Finding]:
    if visit.store is None:
        return ()
    return judge_states(visit.store, visit.settings.names(), visit.clock.wall_ns())


def _clock(visit: Visit) -> list[Finding]:
    if visit.offline:
        return [skipped("clock", "Kraken's Time", OFFLINE)]
    if visit.settings.is_wrong("KRAKEN_SPOT_URL"):
        return [skipped("clock", "Kraken's Time", "not asked, since KRAKEN_SPOT_URL is wrong")]
    settings = visit.settings.settings
    transport = HttpTransport(settings.url, limits(TIME_LIMIT_S))
    flow, desk = Session(settings, None, None).public("Time", {})
    asked_ns = visit.clock.wall_ns()
    try:
        answer = threads.run(flow, desk, transport, TIME_LIMIT_S)
        return judge_clock(ClockFacts(unix_time(answer), asked_ns, visit.clock.wall_ns()))
    except SealaneError as error:
        remedy = "look at the network, at KRAKEN_SPOT_URL and at status.kraken.com, then try again"
        return [fault("clock", "Kraken's Time", f"Kraken could not be asked: {error}", remedy)]
    finally:
        transport.close()


def _keys(visit: Visit) -> Iterator[Check]:
    try:
        accounts = visit.settings.accounts
    except Exception:  # the settings could not be read, which is a finding already
        return
    for who in accounts:
        yield f"the key of {who.account}", partial(_key, visit, who), KEY_LIMIT_S


def _key(visit: Visit, who: Credentials) -> Iterable[Finding]:
    why = _why_not(visit)
    if why:
        return [skipped("key", who.account, why)]
    return judge_key(ask_key(visit.settings.settings, who), visit.clock.wall_ns())


def _why_not(visit: Visit) -> str:
    """Why a key is not to be asked about, "" for no reason."""
    if visit.offline:
        return OFFLINE
    if not visit.settings.is_whole:
        return "not asked, since no program starts with these settings"
    if visit.engine is not None and visit.engine.error:
        return "not asked, since a call needs its lane, which the engine cannot lease: see its findings"
    if visit.folder is not None and not visit.folder.is_usable:
        return "not asked, since a call draws a nonce, which the data folder cannot keep: see its findings"
    return ""


# --- no secret leaves ---------------------------------------------------------------------------------------------


def _passwords(value: str) -> Iterator[str]:
    """A URL's password, as it is written there and as it is meant."""
    if found := _PASSWORD.search(value):
        yield found[1]
        yield unquote(found[1])


def scrubbed(findings: Iterable[Finding], environ: Mapping[str, str]) -> list[Finding]:
    """The findings without any secret of the environment, and with nothing that cannot be printed."""
    values = [value.strip() for name, value in environ.items() if _SECRET_NAME.search(name)]
    values += [secret for value in environ.values() for secret in _passwords(value)]
    secrets = sorted({value for value in values if len(value) >= _SECRET_CHARS_MIN}, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return _USER_INFO.sub("//***@", text).encode(errors="replace").decode()

    return [
        Finding(one.check, one.level, clean(one.subject), clean(one.message), clean(one.remedy)) for one in findings
    ]

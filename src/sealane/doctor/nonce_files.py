"""The nonce files: whole, not rewound, not far ahead of the clock, in the lane's own unit.

Kraken keeps a key's highest nonce for ever, so the one question behind all of these is whether the next nonce of a
lane is above every nonce that its keys ever used. ``next`` is ``max(floor + 1, clock)``: a folder that forgot is
harmless while nonces were not ahead of the clock, and refused calls where they were.
"""

from __future__ import annotations

from collections.abc import Iterator

from sealane.core.nonce import LEAP_NS, MAX_NONCE, NS_PER_S, ClockGuard
from sealane.doctor.finding import Finding, fault, ok, warning
from sealane.doctor.nonce_clients import consistent_with
from sealane.doctor.store_facts import LaneFacts, NumberFile, StoreFacts
from sealane.store.floors import GLOBAL_LANE
from sealane.store.mark import WINDOW_S

RECENT_S = 3600.0
NEARLY_USED_UP = 10**17
"""Nonces that are left below the largest that Kraken takes: three years of nanoseconds."""
_RESTORE = "stop every program on the folder, then"


def judge_nonce_files(
    facts: StoreFacts, *, lanes: str, env_floor: int, wall_ns: int, boot_ns: int
) -> Iterator[Finding]:
    """All that the numbers say; ``lanes`` as in the settings."""
    for lane in facts.lanes:
        used = highest_used(facts, lane)
        yield from judge_lane(lane, used, wall_ns=wall_ns, boot_ns=boot_ns)
    for older in facts.older:
        yield judge_older(older, wall_ns)
    yield from judge_mixed(facts, lanes)
    yield from judge_last_nonce(facts, env_floor)


def highest_used(facts: StoreFacts, lane: LaneFacts) -> tuple[int, str]:
    """The highest nonce that the folder's other files prove was used on this lane, and which file says so."""
    of_key = lane.name.rpartition("_")[2]
    told: dict[str, int] = {}
    for fingerprint, file in facts.keys.items():
        key = file.key()
        if key is not None and (lane.name == GLOBAL_LANE or fingerprint == of_key):
            told[f"what Kraken told of key {fingerprint}"] = key.known_nonce
    for fingerprint, nonce in facts.orders.highest.items():
        if lane.name == GLOBAL_LANE or fingerprint == of_key:
            told["the record of an order"] = max(nonce, told.get("the record of an order", 0))
    if lane.name == GLOBAL_LANE and any(other.name != GLOBAL_LANE and other.file.number for other in facts.lanes):
        return 0, ""  # keys had lanes of their own here: whose number it was is not known
    source = max(told, key=lambda name: told[name], default="")
    return told.get(source, 0), source


def judge_lane(lane: LaneFacts, used: tuple[int, str], *, wall_ns: int, boot_ns: int) -> Iterator[Finding]:
    """One lane's files; ``used`` is what ``highest_used`` found."""
    if lane.file.error or lane.error:
        other = "" if lane.file.error else " of another file that the lane looks at when it starts"
        yield fault(
            "nonce-file",
            lane.file.path,
            f"Could not load persisted nonce: {lane.file.error or lane.error}{other}",
            "give the folder's files to the user that runs the program (chown -R), and let no one else write them",
        )
        return
    yield from _content(lane, wall_ns)
    yield from _mark(lane, boot_ns, wall_ns)
    yield _rewound(lane, used, wall_ns)
    if lane.file.number:
        yield _ahead(lane, wall_ns)
        yield from _unit(lane, wall_ns)


def _content(lane: LaneFacts, wall_ns: int) -> Iterator[Finding]:
    path, content, start = lane.file.path, lane.file.content, lane.start
    falls = f"the lane would start above {start.floor} ({start.source})" if start.floor else "it starts from the clock"
    if content is None:
        yield ok(
            "nonce-file",
            path,
            f"No persisted nonce found: {falls}. Right for the first run; if it is not the first, the folder is not "
            "the one that was used, or was not kept",
        )
    elif lane.file.number:
        aged = "" if lane.file.age_s is None else f", written {lasted(lane.file.age_s)} ago"
        yield ok("nonce-file", path, f"holds {lane.file.number}{aged}")
        if content != b"%d" % lane.file.number:
            yield warning(
                "nonce-content",
                path,
                "holds a good number with spaces or line ends around it, which Sealane never writes: something else "
                "wrote the file",
                "let nothing but Sealane write there; 'sealane nonce raise' moves a lane on",
            )
    else:
        yield _spoiled(lane, content, falls, wall_ns)


def _spoiled(lane: LaneFacts, content: bytes, falls: str, wall_ns: int) -> Finding:
    message = f"Could not load persisted nonce: the file {no_nonce(content)}; {falls}, next is {lane.upcoming(wall_ns)}"
    remedy = "find out who writes there, or whether the disk is bad; the next nonce mends the file"
    if lane.start.source in ("mark", "older file", "another lane"):
        return warning("nonce-file", lane.file.path, message, remedy)
    return fault(
        "nonce-file",
        lane.file.path,
        f"{message}: where nonces were ahead of that, Kraken refuses them",
        f"{_RESTORE} 'sealane nonce raise --to NONCE' with the highest that the logs show; then {remedy}",
    )


def _mark(lane: LaneFacts, boot_ns: int, wall_ns: int) -> Iterator[Finding]:
    path, mark = lane.file.path.with_suffix(".mark"), lane.mark
    if lane.mark_is_bad:
        yield warning(
            "nonce-mark",
            path,
            "the high-water mark cannot be read: until the next nonce writes it anew, a power loss could rewind "
            "the lane",
            "find out who writes there, or whether the disk is bad",
        )
    if mark.boot and mark.boot == lane.era.boot and mark.offset_ns is not None:
        guard = ClockGuard((mark.offset_ns,))
        if not guard.follows(wall_ns, boot_ns):
            leap_s = (wall_ns - boot_ns - mark.offset_ns) / NS_PER_S
            yield warning(
                "clock-leap",
                path,
                f"the clock leaped forward by {lasted(leap_s)} since this lane was used: nonces go on from the last "
                "one until Kraken's time agrees",
                "check the machine's time service (timedatectl, chronyc tracking)",
            )


def _rewound(lane: LaneFacts, used: tuple[int, str], wall_ns: int) -> Finding:
    path, number, mark = lane.file.path, lane.file.number, lane.mark
    far = 2 * WINDOW_S * NS_PER_S // lane.unit_ns
    highest, source = used
    if mark.is_of(lane.era) and number and mark.number - number > far:
        highest, source = max((highest, source), (mark.number, "the high-water mark beside it"))
    if highest <= max(number, 0 if mark.is_of(lane.era) else mark.number) or not highest:
        return ok("nonce-rewound", path, "nothing in the folder knows of a higher nonce")
    holds = f"holds {number}" if number else "holds no nonce"
    message = (
        f"the file {holds}, but {source} shows that {highest} was used or set aside: it was put back to an older state "
        "(a restored backup, a copied volume), or removed and begun anew, or another program used the key"
    )
    upcoming = lane.upcoming(wall_ns)
    if upcoming > highest:
        return warning(
            "nonce-rewound",
            path,
            f"{message}. Harmless so far: the next nonce is {upcoming}",
            "never restore or remove nonce files; find out who did",
        )
    return fault(
        "nonce-rewound",
        path,
        f"{message}. The next nonce would be {upcoming}: EAPI:Invalid nonce",
        f"{_RESTORE} 'sealane nonce raise --to {highest}' (with --account NAME for a key's own lane)",
    )


def _ahead(lane: LaneFacts, wall_ns: int) -> Finding:
    number = lane.file.number
    ahead_s = (number * lane.unit_ns - wall_ns) / NS_PER_S
    if MAX_NONCE - number < NEARLY_USED_UP:
        return fault(
            "nonce-ahead",
            lane.file.path,
            f"holds {number}, close to {MAX_NONCE}, the largest nonce that Kraken takes: the lane is nearly used up",
            "make new API keys, and a new data folder for them",
        )
    if ahead_s * NS_PER_S > LEAP_NS:
        return warning(
            "nonce-ahead",
            lane.file.path,
            f"nonces have jumped {lasted(ahead_s)} ahead of the clock, {consistent_with(number, wall_ns)}. They go on "
            "from there one by one, which Kraken takes; but a lost file could not be made up for by the clock",
            "do not remove the file: Kraken remembers the number. Check the machine's clock, and which program shares "
            "the key; to start low again make a new API key with a new data folder",
        )
    return ok(
        "nonce-ahead", lane.file.path, f"{lasted(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} the clock"
    )


def _unit(lane: LaneFacts, wall_ns: int) -> Iterator[Finding]:
    if lane.file.number * 5 < wall_ns // lane.unit_ns:
        yield warning(
            "nonce-unit",
            lane.file.path,
            f"holds {lane.file.number}, too small for this lane's unit: {consistent_with(lane.file.number, wall_ns)}, "
            "or SEALANE_NONCE_UNIT was changed",
            "let nothing else write there; if another program shares the key it is locked out by the next call here: "
            "give it a key of its own",
        )


def judge_older(older: NumberFile, wall_ns: int) -> Finding:
    """A file of an older program: honoured as a floor, and a trouble while somebody writes it."""
    if older.error or not older.number:
        what = older.error or f"it {no_nonce(older.content or b'')}"
        return warning(
            "older-file",
            older.path,
            f"a file of an older program is passed over: {what}",
            "where it was in use, raise the lane above its last number with 'sealane nonce raise --to NONCE'",
        )
    if older.age_s is not None and older.age_s < RECENT_S:
        return warning(
            "older-file",
            older.path,
            f"an older program wrote its own nonce file {lasted(older.age_s)} ago: it does not take its turn with "
            f"Sealane, and two writers on one key refuse each other. It holds {older.number}, "
            f"{consistent_with(older.number, wall_ns)}",
            "stop the older program, or give it a key of its own",
        )
    return ok("older-file", older.path, f"honoured as a floor: holds {older.number}")


def judge_mixed(facts: StoreFacts, lanes: str) -> Iterator[Finding]:
    """Processes that share a folder must agree on SEALANE_LANES."""
    for lane in facts.lanes:
        is_other = (lane.name == GLOBAL_LANE) != (lanes == "global")
        age_s = lane.file.age_s
        if is_other and age_s is not None and age_s < RECENT_S:
            yield warning(
                "lanes-mixed",
                lane.file.path,
                f"SEALANE_LANES is {lanes} here, but lane {lane.name} was used {lasted(age_s)} ago: a program with the "
                "other setting, or the documents' functions, which need the global lane, shares these keys and takes "
                "no turns with this one",
                "give all programs of the folder the same SEALANE_LANES; stop them all to change it",
            )


def judge_last_nonce(facts: StoreFacts, env_floor: int) -> Iterator[Finding]:
    """``KRAKEN_LAST_NONCE`` beside a good file."""
    stored = max((lane.file.number for lane in facts.lanes), default=0)
    if not env_floor:
        return
    if not stored:
        yield ok("last-nonce", "KRAKEN_LAST_NONCE", "there is no good nonce file, so lanes start above it")
    elif env_floor < stored:
        yield warning(
            "last-nonce",
            "KRAKEN_LAST_NONCE",
            f"{env_floor} is below the nonce file's {stored}: should the file be lost, lanes would start too low",
            "remove it where a volume keeps the folder, or set it to the file's number",
        )
    else:
        yield warning(
            "last-nonce",
            "KRAKEN_LAST_NONCE",
            f"{env_floor} is above the nonce file's {stored} and is not used: a good file always wins",
            f"run 'sealane nonce raise --to {env_floor}' if that number was used, then remove the variable",
        )


def no_nonce(content: bytes) -> str:
    """What a file holds instead of a nonce; not the text itself, which may be anything, a secret too."""
    bare = content.strip(b"\0 \r\n\t")
    if not bare:
        return "is empty"
    if bare.isdigit():
        return f"holds a number of {len(bare)} digits, which is no nonce: 1 … {MAX_NONCE} are"
    return f"holds {len(bare)} bytes that are no decimal integer"


def lasted(seconds: float) -> str:
    """A span for a person: ``"45 s"``, ``"3 h"``, ``"12 d"``."""
    for unit, length in (("y", 365.25 * 86_400), ("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"

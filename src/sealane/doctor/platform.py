"""Whether the data folder outlives the container, by what the platform's own variables say there should be.

On a platform that starts every container afresh the folder must be on a mount of its own. Facts as of 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sealane.doctor.finding import Finding, fault, ok, skipped, warning
from sealane.doctor.folder import FolderFacts

VOLUME_PATH = "RAILWAY_VOLUME_MOUNT_PATH"
RUN_UID = "RAILWAY_RUN_UID"
DRAINING = "RAILWAY_DEPLOYMENT_DRAINING_SECONDS"
DRAINING_S = 30
_COPY = re.compile(r"(^|[-_])pr[-_]?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Platform:
    """Where this runs, and how a folder is made to last there."""

    name: str
    markers: tuple[str, ...]
    remedy: str


RAILWAY = Platform(
    "Railway",
    ("RAILWAY_PROJECT_ID", "RAILWAY_SERVICE_ID", "RAILWAY_ENVIRONMENT_NAME", "RAILWAY_ENVIRONMENT", VOLUME_PATH),
    "in the dashboard open the service, Settings, Volumes: add a volume, with {folder} as its mount path, and redeploy",
)
PLATFORMS = (
    RAILWAY,
    Platform(
        "Render",
        ("RENDER", "RENDER_SERVICE_ID"),
        "add a disk to the service (Disks, or 'disk:' in render.yaml) with {folder} as its mount path",
    ),
    Platform(
        "Fly",
        ("FLY_APP_NAME", "FLY_MACHINE_ID"),
        "make a volume (fly volumes create sealane_data) and give it a [mounts] section with destination {folder}",
    ),
    Platform(
        "Kubernetes",
        ("KUBERNETES_SERVICE_HOST",),
        "use a StatefulSet with one replica and mount a ReadWriteOncePod volume claim at {folder}",
    ),
)


def platform_of(environ: Mapping[str, str]) -> Platform | None:
    """The platform whose variables are set, None for none that is known."""
    return next((one for one in PLATFORMS if any(environ.get(name) for name in one.markers)), None)


def judge_platform(environ: Mapping[str, str], facts: FolderFacts) -> list[Finding]:
    """What the platform's variables and the folder's mount say together."""
    platform = platform_of(environ)
    if platform is None:
        return [skipped("platform-volume", facts.path, "no platform that is known here says where its volume is")]
    found = [_volume(platform, environ, facts)]
    if platform is RAILWAY:
        found += [*_run_user(facts), *_draining(environ), *_copies(environ)]
    return found


def _volume(platform: Platform, environ: Mapping[str, str], facts: FolderFacts) -> Finding:
    remedy = platform.remedy.format(folder=facts.path)
    volume = environ.get(VOLUME_PATH, "")
    if platform is RAILWAY and not volume:
        message = f"Railway gives this service no volume ({VOLUME_PATH} is not set): {_LOST}"
        return fault("platform-volume", facts.path, message, remedy)
    if platform is RAILWAY and not facts.path.is_relative_to(Path(volume)):
        return fault(
            "platform-volume",
            facts.path,
            f"the volume is mounted at {volume} and the data folder is not on it: {_LOST}",
            f"set DATA_DIR={volume}, or mount the volume at {facts.path}",
        )
    if facts.mount is None:
        return skipped("platform-volume", facts.path, "this system does not tell what the folder is mounted on")
    if not facts.mount.is_own or facts.mount.is_ephemeral:
        return fault(
            "platform-volume",
            facts.path,
            f"{platform.name} runs this, and the data folder is part of the container: no volume is mounted there, "
            f"so {_LOST}",
            remedy,
        )
    return ok("platform-volume", facts.path, f"on {platform.name} with a mount of its own at {facts.mount.point}")


_LOST = "every restart forgets the nonces and Kraken answers EAPI:Invalid nonce where they were ahead of the clock"


def _run_user(facts: FolderFacts) -> Iterator[Finding]:
    """Railway mounts volumes as root's."""
    if facts.user_id == 0:
        yield ok("platform-user", RUN_UID, "this runs as root, whose volumes on Railway are")
    elif facts.is_usable:
        yield ok("platform-user", RUN_UID, f"user {facts.user_id} may write to the volume")
    else:
        yield fault(
            "platform-user",
            RUN_UID,
            f"Railway mounts volumes as root's, this runs as user {facts.user_id} and cannot use the data folder",
            f"set {RUN_UID}=0 and redeploy, or start as root, chown the folder and drop to the user",
        )


def _draining(environ: Mapping[str, str]) -> Iterator[Finding]:
    text = environ.get(DRAINING, "").strip() or "0"
    if text.isdigit() and int(text) > 0:
        yield ok("platform-draining", DRAINING, f"a redeploy leaves {text} s to finish calls under way")
        return
    yield warning(
        "platform-draining",
        DRAINING,
        "a redeploy kills the program right after SIGTERM: orders under way then end in doubt and are looked for later",
        f"set {DRAINING}={DRAINING_S}",
    )


def _copies(environ: Mapping[str, str]) -> Iterator[Finding]:
    name = environ.get("RAILWAY_ENVIRONMENT_NAME", "")
    if _COPY.search(name) and environ.get("KRAKEN_API_KEY"):
        yield warning(
            "platform-copy",
            name,
            "this is a pull request's environment and holds an API key: if it is the live one, two programs write "
            "on it",
            "give copies of the environment no Kraken key, or one of their own",
        )

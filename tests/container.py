"""The container without Docker: the Dockerfile's steps carried out in a clean folder, and programs run in it.

Carried out of both stages: ARG, ENV, WORKDIR, COPY (through .dockerignore), `RUN uv sync`, ENTRYPOINT and CMD. Not
carried out: the base image (this Python stands for it), `pip install uv` (the uv at hand is taken), and the step that
needs apt and root.
"""

import fnmatch
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
USER = 10001
LIMIT_S = 30.0
"""How long anything that should happen soon may take on a busy machine."""


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile, in its stage (counted from 0)."""

    word: str
    rest: str
    stage: int


def steps(text: str) -> list[Step]:
    """The instructions of a Dockerfile, continuation lines put together, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found, stage = [], -1
    for line in filter(None, (line.strip() for line in lines.replace("\\\n", " ").splitlines())):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        found.append(Step(word, " ".join(rest.split()), stage))
    return found


def goes_to_the_builder(path: str, patterns: list[str]) -> bool:
    """What Docker makes of .dockerignore: the last pattern that fits the path, or a folder above it, decides."""
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    ignored = False
    for pattern in patterns:
        names = [name.rpartition("/")[2] for name in above] if pattern.startswith("**/") else above
        bare = pattern.removeprefix("!").removeprefix("**/")
        if any(fnmatch.fnmatchcase(name, bare) and name.count("/") == bare.count("/") for name in names):
            ignored = not pattern.startswith("!")
    return not ignored


def ignore_patterns() -> list[str]:
    """The lines of .dockerignore that say something."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@dataclass
class Image:
    """What the steps made: a folder that stands for ``/``, and how a program is started there."""

    folder: Path
    python: str
    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def here(self, text: str) -> str:
        """The image's ``/app`` is a folder of this machine."""
        return text.replace("/app", f"{self.folder}/app")

    def carry_out(self, step: Step, uv: Path) -> None:
        """One step; those that need the base image are passed over."""
        match step.word:
            case "ENV":
                self.env |= dict(pair.split("=", 1) for pair in self.here(step.rest).split())
            case "ARG" if "=" in step.rest:
                name, value = step.rest.split("=", 1)
                self.args[name] = value.strip('"')
            case "COPY":
                self._copy(step.rest.split())
            case "RUN" if step.rest.startswith("uv sync"):
                self._sync(step.rest, uv)
            case "ENTRYPOINT":
                self.entrypoint = [self.here(word) for word in json.loads(step.rest)]
            case "CMD":
                self.command = json.loads(step.rest)

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            return  # from stage to stage: both are this folder
        *sources, target = words
        for source in sources:
            place = self.folder / "app" / target.removeprefix("/app/")
            for path in self._let_through(source):
                to = place / path.relative_to(ROOT / source) if (ROOT / source).is_dir() else place
                to = to / path.name if to.is_dir() else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)

    def _let_through(self, source: str) -> Iterator[Path]:
        start = ROOT / source
        patterns = ignore_patterns()
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.is_file() and goes_to_the_builder(str(path.relative_to(ROOT)), patterns):
                yield path

    def _sync(self, words: str, uv: Path) -> None:
        """From the cache that made this environment where that has all of it, else from the index."""
        env = os.environ | self.env | self.args | {"UV_PYTHON": self.python}
        env |= {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        env.pop("VIRTUAL_ENV", None)
        command = words.replace("uv", str(uv), 1)
        for offline in (" --offline", ""):
            done = subprocess.run(
                ["/bin/sh", "-c", command + offline],
                cwd=self.folder / "app",
                env=env,
                capture_output=True,
                text=True,
                timeout=4 * LIMIT_S,
                check=False,
            )
            if done.returncode == 0:
                return
        raise RuntimeError(done.stderr)


def python_for_all() -> str | None:
    """A Python like this one that every user can run: this one may be in root's home. None where there is none."""
    near = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    for found in filter(None, (os.path.realpath(sys.executable), near)):
        if os.geteuid() != 0 or all(place.stat().st_mode & 0o001 for place in Path(found).parents):
            return found
    return None


def build(folder: Path, uv: Path) -> Image:
    """Carry the Dockerfile's steps out in an empty folder."""
    image = Image(folder, python_for_all() or sys.executable)
    (folder / "app" / "data").mkdir(parents=True)
    for step in steps(DOCKERFILE.read_text()):
        image.carry_out(step, uv)
    for path in (folder / "app").iterdir():  # the next stage takes over what its COPY names, and nothing else
        if path.name not in (".venv", "entrypoint.sh", "data"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return image


class Container:
    """A program that runs in an image; a context manager that leaves none behind."""

    def __init__(self, image: Image, env: dict[str, str], *command: str) -> None:
        variables = image.env | {"PATH": image.env["PATH"].replace("$PATH", os.environ["PATH"])}
        self._process = subprocess.Popen(
            [*image.entrypoint, *(command or image.command)],
            cwd=image.folder / "app",
            env=variables | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip())
        self._lines.put(None)

    def until(self, text: str, times: int = 1) -> str:
        """The line with this text, the ``times``-th from here; AssertionError where the log ends before it."""
        while True:
            line = self._lines.get(timeout=LIMIT_S)
            assert line is not None, f"ended before {text!r}:\n" + "\n".join(self.log)
            self.log.append(line)
            times -= text in line
            if times == 0:
                return line

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, and read the log to its end; returns the exit code."""
        self._process.send_signal(sent)
        return self.end()

    def end(self) -> int:
        """Wait for the program to end by itself; returns the exit code."""
        code = self._process.wait(LIMIT_S)
        while (line := self._lines.get(timeout=LIMIT_S)) is not None:
            self.log.append(line)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)

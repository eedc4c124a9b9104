"""``python -m bench [name…] [--json]``: run the benchmarks.

Tables go to standard output, or with ``--json`` one JSON document on one line; progress to standard error; the
document always also to ``bench/results/latest.json``. Exit code 1 where a target was missed or a benchmark failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.apart import run_apart
from bench.report import LATEST, Result, one_line, report_document, save, show

BENCHMARKS = (
    "imports",
    "nonces",
    "private_calls",
    "processes",
    "guarded",
    "accounts",
    "order_cost",
    "broker",
    "serve",
    "gateway",
    "scale",
    "hosts",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was named, show it, keep it."""
    options = _options(arguments)
    started, started_at = time.perf_counter(), datetime.now(UTC)
    results = [_run(name) for name in options.names or BENCHMARKS]
    took_s = round(time.perf_counter() - started, 1)
    document = report_document(
        results, _about() | {"started_at": started_at.isoformat("T", "seconds"), "took_s": took_s}
    )
    save(document)
    if options.json:
        print(one_line(document))
    else:
        show(results, sys.stdout)
        _tell(f"{took_s} s; also in {os.path.relpath(LATEST)}")
    return 0 if document["passed"] else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Sealane's benchmarks.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)}; without one, all")
    parser.add_argument("--json", action="store_true", help="one JSON document on one line instead of tables")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    return options


def _run(name: str) -> Result:
    _tell(f"{name} …")
    result = run_apart(name)
    _tell(f"{name}: {result.took_s:.1f} s{'' if result.passed else ', NOT PASSED'}")
    return result


def _about() -> dict[str, object]:
    from sealane import __version__

    return {
        "sealane": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

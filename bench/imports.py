"""What an import costs: fresh interpreters, in turns."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from bench.report import Result
from bench.rounds import in_turns

TITLE = "milliseconds from starting an interpreter to its end"
ROUNDS = 7
STATEMENTS = {
    "bare interpreter": "pass",
    "import sealane": "import sealane",
    "from sealane import Kraken": "from sealane import Kraken",
    "import ccxt": "import ccxt",
}


def run(folder: Path) -> Result:
    """See the head of this file."""
    for statement in STATEMENTS.values():
        _took_ms(statement, folder)  # off the record: this one may have to compile what it imports
    rates = in_turns({name: partial(_took_ms, text, folder) for name, text in STATEMENTS.items()}, ROUNDS)
    bare, kraken, ccxt = "bare interpreter", "from sealane import Kraken", "import ccxt"
    figures = [rates.figure(name, name, "ms") for name in STATEMENTS]
    figures += [
        rates.difference(f"{name}, beyond the bare one", name, bare, "ms") for name in STATEMENTS if name != bare
    ]
    figures.append(rates.ratio(f"{ccxt} : {kraken}", ccxt, kraken))
    return Result("imports", TITLE, tuple(figures))


def _took_ms(statement: str, folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=folder, timeout=60)
    return (time.perf_counter() - started) * 1000

"""`make test-live`: run the live suite with the key in the environment, write the report, say where it is.

Exit code 0 where nothing differs, 1 where something does, 2 where it was not asked for properly.
"""

import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from live.run import compare
from sealane.client.settings import Settings

PAUSE_S = 4.0
"""Between two requests: at the lowest tier a key's counter drains by 1.3 in that time, and the dearest calls add 4."""
REPORTS = Path(__file__).parent / "results"


def main() -> int:
    """See the head of this file."""
    if os.environ.get("SEALANE_LIVE") != "1":
        return _refuse("this sends requests to Kraken with your key: set SEALANE_LIVE=1 if you mean it (docs/live.md)")
    if not os.environ.get("KRAKEN_API_KEY") or not os.environ.get("KRAKEN_API_SECRET"):
        return _refuse("KRAKEN_API_KEY and KRAKEN_API_SECRET are not set")
    pause_s = float(os.environ.get("SEALANE_LIVE_PAUSE_S") or PAUSE_S)
    url = Settings.from_env(os.environ).url
    print(f"asking {url}, one request every {pause_s:g} s …", file=sys.stderr, flush=True)
    report = compare(url, datetime.now(UTC), lambda: threading.Event().wait(pause_s) and None)
    markdown, document = report.write(Path(os.environ.get("SEALANE_LIVE_REPORTS") or REPORTS))
    print(f"{markdown}\n{document}")
    return 1 if report.drifted else 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

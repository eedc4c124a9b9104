"""The command ``sealane``. One file a command; everything a command does can be done with the library as well."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``sealane`` script."""
    try:
        from sealane.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich"):
            raise
        print(f"the command line needs {missing.name}: pip install 'sealane[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    app()

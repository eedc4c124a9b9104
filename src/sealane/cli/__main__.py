"""``python -m sealane.cli`` is ``sealane``."""

from sealane.cli import main

main()

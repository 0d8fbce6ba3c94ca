"""``python -m edvr_cli``."""

from edvr_cli.cli import main

main()

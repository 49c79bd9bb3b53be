"""``python -m sanitygap`` is the command ``sanitygap``."""

from sanitygap.cli import main

main()

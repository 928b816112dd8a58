"""``python -m pipeline.cli``: the command ``avvp``."""

from pipeline.cli.main import main

main()

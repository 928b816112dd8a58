"""``python -m pipeline.cli``: the command ``avvp``."""

from avvp import main

main()

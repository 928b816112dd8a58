"""The command line with the toy backbones registered, for tests that need a process of their own."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from extractors.registry import BACKBONES
from pipeline.cli.main import main

for kind in ("Visual", "Audio", "Fragile", "Sticky", "Buggy"):
    BACKBONES[f"toy_{kind.lower()}"] = f"toy_backbones:Toy{kind}"

if os.environ.get("AVVP_TOY_PARSER"):
    from toy_parser import ToyParser

    import pipeline.parsing.setup

    pipeline.parsing.setup.open_model = lambda name, **how: ToyParser()

if __name__ == "__main__":
    main()

"""On ``PYTHONPATH`` of a test's processes: registers the toy backbones in each of them."""

import os
import sys
from pathlib import Path

if os.environ.get("AVVP_TEST_TOYS"):
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from extractors.registry import BACKBONES

    for kind in ("Visual", "Audio", "Fragile", "Sticky", "Buggy"):
        BACKBONES[f"toy_{kind.lower()}"] = f"toy_backbones:Toy{kind}"

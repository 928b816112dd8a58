"""On ``PYTHONPATH`` of a test's processes: registers the toy backbones in each of them."""

import os
import sys
from pathlib import Path

if os.environ.get("AVVP_TEST_TOYS"):
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from extractors.registry import BACKBONES

    for name, kind in (("toy_visual", "ToyVisual"), ("toy_audio", "ToyAudio"), ("toy_fragile", "ToyFragile")):
        BACKBONES[name] = f"toy_backbones:{kind}"

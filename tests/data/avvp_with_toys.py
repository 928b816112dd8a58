"""The command line with the toy backbones registered, for tests that need a process of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from extractors.registry import BACKBONES
from pipeline.cli import main

BACKBONES["toy_visual"] = "toy_backbones:ToyVisual"
BACKBONES["toy_audio"] = "toy_backbones:ToyAudio"
BACKBONES["toy_fragile"] = "toy_backbones:ToyFragile"

if __name__ == "__main__":
    main()

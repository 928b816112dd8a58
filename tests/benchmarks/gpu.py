"""The same engine on a GPU: clips/s of each backbone in float32 and half precision, and the decode cores that it eats.

    python tests/benchmarks/gpu.py --copies 40

Writes bench/gpu.md. Exits with 2 where there is no GPU: figures of another device would mislead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from run import FIVE, find_clips, side

PRECISIONS = ("float32", "bfloat16", "float16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=40, help="how often each clip is taken")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu.py: no CUDA device here", file=sys.stderr)
        sys.exit(2)
    lines = ["| backbone | precision | clips/s | model-only over end-to-end | decode cores |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        clips = find_clips(Path(folder))
        decode_seconds = side("decoding.py", clips=clips, copies=4)["ours_cpu"]
        for backbones in [[name] for name in FIVE] + [FIVE]:
            for precision in PRECISIONS:
                found = side("engine.py", backbones=backbones, clips=clips, copies=options.copies,
                             device="cuda:0", precision=precision)  # fmt: skip
                rate = found["clips"] / found["seconds"]
                name = backbones[0] if len(backbones) == 1 else "all five"
                share = found["model_seconds"] / found["seconds"]
                lines.append(f"| {name} | {precision} | {rate:.2f} | {share:.2f} | {rate * decode_seconds:.1f} |")
                print(lines[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.md").write_text(f"{torch.cuda.get_device_name(0)}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

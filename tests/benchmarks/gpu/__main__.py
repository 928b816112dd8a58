"""Ten minutes on a GPU that say how fast it is, how exact, and what it waits for. Weights are random.

    python tests/benchmarks/gpu --minutes 9                                    # on a machine with a GPU
    python tests/benchmarks/gpu --device cpu --backbones vggish --minutes 2    # every stage, tiny, with fake lanes

Prints a line of JSON for each finding, and last what the machine is limited by. Stages 1 to 4 need torch and
torchvision alone; what needs more says so and is left out. The package need not be installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]
sys.path.append(str(HERE.parent))

import agreement  # noqa: E402
import decoders  # noqa: E402
import faults  # noqa: E402
import machine  # noqa: E402
import overlap  # noqa: E402
import speed  # noqa: E402
import throughput  # noqa: E402
import torch  # noqa: E402
from bench import FIVE, STAND_IN, Bench, precisions_of  # noqa: E402
from verdict import verdict  # noqa: E402

STAGES = (
    (1, machine, 0.05), (2, agreement, 0.35), (3, speed, 0.2), (4, overlap, 0.08), (5, throughput, 0.15),
    (6, faults, 0.07), (7, decoders, 0.1),
)  # fmt: skip
"""Number, module, and share of the time; what a stage leaves over is shared by those after it."""


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="to stay within; default: 9")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to see that the stages run")
    parser.add_argument("--backbones", nargs="*", help="default: all five, on a CPU vggish")
    parser.add_argument("--precisions", nargs="*", help="default: those the GPU has, on a CPU float32")
    parser.add_argument("--clips", type=Path, help="a folder of real clips for stage 7; made-up ones decode too easily")
    parser.add_argument(
        "--stages", nargs="*", type=int, default=[number for number, _, _ in STAGES], help="numbers; default: all seven"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave compiled networks out; on a CPU they are")
    asked = parser.parse_args()
    if asked.clips is not None and not asked.clips.is_dir():
        parser.error(f"--clips {asked.clips}: no such folder")
    return asked


def default_backbones(device: str) -> list[str]:
    if device == "cpu":
        return ["vggish"]
    there = importlib.util.find_spec("open_clip") is not None
    return [STAND_IN if name == "clip_vit_l14" and not there else name for name in FIVE]


def finished(stage: ModuleType, bench: Bench) -> bool:
    """Run a stage; one that fails takes none of the others with it."""
    try:
        stage.run(bench)
    except Exception as problem:  # noqa: BLE001 - the machine is paid for by the minute, and never to be had again
        bench.say(failed=f"{type(problem).__name__}: {problem}")
        traceback.print_exc()
        return False
    return True


def main() -> None:
    options = parsed()
    if options.device != "cpu" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --device cpu only shows that the stages run")
    ends = time.monotonic() + 60 * options.minutes
    bench = Bench(
        options.device,
        options.backbones or default_backbones(options.device),
        precisions_of(options.device, options.precisions),
        compiles=options.device != "cpu" and not options.no_compile,
        small=options.device == "cpu",
        clips=sorted(options.clips.glob("*.mp4")) if options.clips else [],
        ends=ends,
    )
    failed = False
    chosen = [stage for stage in STAGES if stage[0] in options.stages]
    for at, (number, stage, share) in enumerate(chosen):
        left, rest = max(ends - time.monotonic(), 0), sum(share for _, _, share in chosen[at:])
        bench.stage, bench.stage_ends = number, time.monotonic() + left * share / rest
        if left:
            failed |= not finished(stage, bench)
        else:
            bench.say(skipped="no time left")
    print(verdict(bench), flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

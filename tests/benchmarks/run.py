"""All benchmarks: each figure is a ratio of two things timed in this run on this machine.

    make bench                                   # 25 to 40 minutes on 2 cores
    python tests/benchmarks/run.py --only memory million # half an hour and ten minutes more
    python tests/benchmarks/run.py --only decode # some rows

Writes bench/table.md and bench/results.json. Uses the real clips of ``../shared/clips`` where they are, else
clips that it makes. Weights are random: speed does not depend on them. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIVE = ["resnet152", "r2plus1d_18", "clip_vit_l14", "vggish", "clap"]


@dataclass
class Row:
    """One figure of the table."""

    name: str
    figure: float
    must_reach: float
    detail: str
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.figure <= self.must_reach if self.at_most else self.figure >= self.must_reach


def side(script: str, **request: object) -> dict:
    """Run one side of a comparison in a process of its own and read its JSON line."""
    command = [sys.executable, "-W", "ignore", str(HERE / script), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def find_clips(work: Path) -> list[str]:
    shared = HERE.parents[2] / "shared" / "clips"
    found = sorted(shared.glob("*.mp4"))
    if not found:
        from pipeline.synthetic.dataset import write_dataset

        write_dataset(work, count=3)
        found = sorted((work / "clips").glob("*.mp4"))
    return [str(path) for path in found]


def network_rows(clips: list[str], work: Path) -> list[Row]:
    """Each network on both engines over OpenVINO alone, in turn in one process."""
    rows = []
    for name in FIVE:
        found = side("networks.py", backbone=name)
        each = {way: 1000 * found[way] / found["units"] for way in ("openvino", "torch", "alone")}
        detail = f"{each['openvino']:.1f} of {each['alone']:.1f} ms a unit; --engine torch {each['torch']:.1f}"
        rows += [
            Row(f"{name}, time over OpenVINO alone", found["openvino"] / found["alone"], 1.10, detail, at_most=True),
            Row(f"{name}, features of both engines, difference over the largest value", found["difference"], 1e-5,
                "random weights", at_most=True),
        ]  # fmt: skip
    return rows


def ceiling_rows(clips: list[str], work: Path) -> list[Row]:
    """What one process could feed a device with: the engine alone, five backbones, no network and no decoding."""
    o = side("ceiling.py")
    stages = side("ceiling.py", stages=True)["stages_ms"]
    each = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(stages.items(), key=lambda item: -item[1]))
    return [
        Row("engine's own ceiling, clips/s a process, five backbones", o["clips_per_second"], 60,
            f"{o['main_thread_ms']:.1f} ms a clip in the thread that feeds the device; {each}"),
    ]  # fmt: skip


def resnet_rows(clips: list[str], work: Path) -> list[Row]:
    """Speed, starvation and equality of ResNet-152."""
    plain = side("plain.py", backbones=["resnet152"], clips=clips, save=str(work / "plain.npz"))["resnet152"]
    ours = side("engine.py", backbones=["resnet152"], clips=clips, copies=3, save=str(work / "ours.npz"))
    plain_rate, our_rate = len(clips) / sum(plain), ours["clips"] / ours["seconds"]
    return [
        Row("ResNet-152 at 8 FPS, clips/s over the plain way", our_rate / plain_rate, 1.4,
            f"{our_rate:.4f} over {plain_rate:.4f} clips/s"),
        Row("ResNet-152, model-only time over end-to-end time", ours["model_seconds"] / ours["seconds"], 0.92,
            f"{ours['model_seconds']:.1f} of {ours['seconds']:.1f} s"),
        Row("features, lowest cosine to the plain way", cosine(work / "plain.npz", work / "ours.npz"), 0.99999,
            "ResNet-152 and the published frames from a lossless decode of the same frames"),
    ]  # fmt: skip


def cosine(plain: Path, ours: Path) -> float:
    """Lowest cosine of any step. The plain network runs on the frames that ours ran on: JPEGs differ by themselves."""
    import numpy as np

    with np.load(plain) as one, np.load(ours) as other:
        lowest = 1.0
        for name in other.files:
            a, b = other[name].astype(np.float64), side_by_side(one, name).astype(np.float64)
            cosines = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
            lowest = min(lowest, float(cosines.min()))
    return lowest


def side_by_side(archive, name: str):
    return archive[f"same_frames/{name}"]


def five_rows(clips: list[str], work: Path) -> list[Row]:
    """All five backbones from one decode; the plain way before and after, for machines become slower and quicker."""
    before = side("plain.py", backbones=FIVE, clips=clips)
    ours = side("engine.py", backbones=FIVE, clips=clips, copies=2)
    after = side("plain.py", backbones=FIVE, clips=clips)
    plain = {name: sum(before[name] + after[name]) / (2 * len(clips)) for name in FIVE}
    per_clip = sum(plain.values())
    each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in plain.items())
    return [
        Row("all five from one decode, over the plain way one by one", per_clip * ours["clips"] / ours["seconds"], 1.75,
            f"{ours['seconds'] / ours['clips']:.2f} s a clip, plain {per_clip:.2f} ({each})"),
    ]  # fmt: skip


def decode_rows(clips: list[str], work: Path) -> list[Row]:
    """Decoding alone, frames and both audio rates."""
    found = side("decoding.py", clips=clips, copies=8)
    cpu = side("decode_cpu.py", clips=clips)
    return [
        *(Row(f"decode at {height}p, processor seconds over decord and ffmpeg", one["ours"] / one["other"], 1.05,
              f"{one['ours']:.2f} s a clip, decord and ffmpeg {one['other']:.2f}", at_most=True)
          for height, one in cpu.items()),
        Row("decode alone over JPEG dump, wav dump and Pillow read", found["plain"] / found["ours"], 2.0,
            f"{found['ours']:.2f} s a clip, plain {found['plain']:.2f}"),
    ]  # fmt: skip


def scaling_rows(clips: list[str], work: Path) -> list[Row]:
    """Cost as work grows."""
    few = side("engine.py", backbones=["efficientnet_lite0", "vggish"], clips=clips, copies=12 // len(clips))
    many = side("engine.py", backbones=["efficientnet_lite0", "vggish"], clips=clips, copies=120 // len(clips))
    rates = [found["clips"] / found["seconds"] for found in (few, many)]
    return [
        Row("clips/s at 120 clips over clips/s at 12", rates[1] / rates[0], 0.95,
            f"{rates[1]:.3f} over {rates[0]:.3f} clips/s, EfficientNet-Lite0 and VGGish"),
    ]  # fmt: skip


def store_rows(clips: list[str], work: Path) -> list[Row]:
    """The store against .npy files, 2,000 synthetic clips of three backbones."""
    o = side("storing.py", clips=2000)
    n, zeros = o["clips"], f"{100 * o['zeros']:.0f} % zeros"

    def rates(ours: str, theirs: str) -> str:
        return f"{n / o[ours]:.0f} over {n / o[theirs]:.0f} clips/s"

    return [
        Row("store, bytes on disk over .npy, float32", o["store_bytes"] / o["npy_bytes"], 0.70, zeros, at_most=True),
        Row("store, float16, bytes on disk over .npy", o["half_bytes"] / o["npy_bytes"], 0.40, zeros, at_most=True),
        Row("store, files over .npy files", o["store_files"] / o["npy_files"], 0.01, f"{o['store_files']} over "
            f"{o['npy_files']}, shards of 1,024 clips", at_most=True),
        Row("shuffled batches of 32 over np.load, default codec, 2 threads",
            o["npy_batches"] / o["default_batches"], 0.8, rates("default_batches", "npy_batches")),
        Row("shuffled batches of 32 over np.load, uncompressed", o["npy_batches"] / o["plain_batches"], 2.0,
            rates("plain_batches", "npy_batches")),
        Row("shuffled batches of 32 over np.load, averaged in memory", o["npy_batches"] / o["memory_batches"], 5.0,
            rates("memory_batches", "npy_batches")),
        Row("writing a store over np.save", o["npy_write"] / o["store_write"], 0.4, rates("store_write", "npy_write")),
        Row("loading ResNet-152 whole over reading the .npy files", o["npy_load"] / o["store_load"], 1.0,
            rates("store_load", "npy_load")),
        Row("import over reading the .npy files into memory", o["npy_read"] / o["import"], 0.5,
            rates("import", "npy_read")),
    ]  # fmt: skip


def training_rows(clips: list[str], work: Path) -> list[Row]:
    """The trainer and the scoring."""
    o = side("training.py")
    allowed = 1.5 * o["feature_bytes"] + 1e9
    return [
        Row("a step of leap-mmpyr, batch 32, FLOP/s over the 2048³ matrix product", o["step"] / o["matrix"], 0.6,
            f"{o['step'] / 1e9:.0f} of {o['matrix'] / 1e9:.0f} GFLOP/s"),
        Row("leap-han, time waiting for data over epoch time", o["waiting"], 0.02, f"{o['clips']} clips", at_most=True),
        Row("scoring 1,200 videos over a loop by video and class", o["plain_scoring"] / o["scoring"], 50,
            f"{1000 * o['scoring']:.0f} ms over {o['plain_scoring']:.1f} s"),
        Row("peak memory of training over 1.5 x features + 1 GB", o["peak_bytes"] / allowed, 1.0,
            f"{o['peak_bytes'] / 1e9:.2f} GB, features {o['feature_bytes'] / 1e9:.2f} GB", at_most=True),
    ]  # fmt: skip


def million_rows(clips: list[str], work: Path) -> list[Row]:
    """A store of a million clips: small shards show the commits, six arrays the plan and the status."""
    many = side("million.py", clips=1_000_000, arrays=6)
    small = side("million.py", clips=1_000_000, arrays=1, shard_size=64)
    said = f"{many['shards']} shards of six arrays"
    return [
        Row("a million clips: seconds to plan, all done", many["plan_s"], 3, said, at_most=True),
        Row("a million clips: seconds of avvp status", many["status_s"], 3, said, at_most=True),
        Row("a million clips: peak memory of it all over 1 GB", many["peak_bytes"] / 1e9, 1, said, at_most=True),
        Row("a million clips: a commit into the full store over one into an empty store",
            small["commit_last_ms"] / small["commit_first_ms"], 1.1,
            f"{small['commit_last_ms']:.1f} over {small['commit_first_ms']:.1f} ms, {small['shards']} shards of 64",
            at_most=True),
    ]  # fmt: skip


def memory_rows(clips: list[str], work: Path) -> list[Row]:
    """A run of all five, long enough for anything that grows to be seen."""
    o = side("memory.py", clips=clips, copies=120 // len(clips))
    return [
        Row("peak memory of all five over 6 GB", o["peak_bytes"] / 6e9, 1.0,
            f"{o['peak_bytes'] / 1e9:.2f} GB, {o['clips']} clips in {o['seconds'] / 60:.0f} min", at_most=True),
    ]  # fmt: skip


GROUPS = {
    "ceiling": ceiling_rows, "training": training_rows, "networks": network_rows,
    "resnet": resnet_rows, "five": five_rows, "decode": decode_rows, "scaling": scaling_rows, "store": store_rows,
    "memory": memory_rows, "million": million_rows,
}  # fmt: skip


def table(rows: list[Row]) -> str:
    lines = ["| figure | measured | must reach | |", "|---|---|---|---|"]
    for row in rows:
        digits = 6 if 0.999 < row.must_reach < 1 else 4 if row.must_reach < 0.1 else 2
        figure = f"{row.figure:.1e}" if row.must_reach < 0.001 else f"{row.figure:.{digits}f}"
        mark, sign = "reached" if row.reached else "**short**", "≤" if row.at_most else "≥"
        lines.append(f"| {row.name} | {figure} | {sign} {row.must_reach:g} | {mark}; {row.detail} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="*", choices=sorted(GROUPS), default=sorted(set(GROUPS) - {"memory", "million"})
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clips = find_clips(work)
        for name in options.only:
            found = GROUPS[name](clips, work)
            rows += found
            print(table(found), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor(), "load": os.getloadavg()}
    (options.out / "table.md").write_text(table(rows))
    results = {"machine": machine, "rows": [{**asdict(row), "reached": row.reached} for row in rows]}
    (options.out / "results.json").write_text(json.dumps(results, indent=2))
    print(f"{options.out}/table.md, {options.out}/results.json")
    sys.exit(0 if all(row.reached for row in rows) else 1)


if __name__ == "__main__":
    main()

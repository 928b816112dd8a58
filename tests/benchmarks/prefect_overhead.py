"""What Prefect adds to a shard: the same shards by tasks of a flow, less what the plain calls inside them took.

Needs a server: PREFECT_API_URL. ``python tests/benchmarks/prefect_overhead.py CLIPS_FOLDER [SHARDS]`` copies the
clips of 2 s in a folder until they fill the shards.
"""

import json
import logging
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from prefect import flow

from extractors.registry import BACKBONES
from flows import shards
from flows.parameters import ExtractRequest, Placement
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.shards import ShardFiller, prepare_shards

SHARD_SIZE = 64
BACKBONES |= {"toy_visual": "toy_backbones:ToyVisual", "toy_audio": "toy_backbones:ToyAudio"}


@flow(name="overhead")
def overhead(request: ExtractRequest) -> dict:
    work = prepare_shards(request.table(), request.store, request.options)
    started = time.monotonic()
    results = shards.run_shards(request, work, Placement(), log=logging.getLogger("prefect"))
    wall = time.monotonic() - started
    bare = replace(request, store=request.store + ".bare.zarr")
    work = prepare_shards(bare.table(), bare.store, bare.options())
    filler = ShardFiller(bare.table(), bare.store, bare.options())
    plain = sum(filler.fill(shard).seconds for shard in work.shards)
    inside = [report.seconds for report in results.reports]
    assert not results.problems, results.problems
    return {
        "shards": len(inside),
        "clips_a_shard": SHARD_SIZE,
        "wall_seconds": round(wall, 2),
        "inside_seconds": round(sum(inside), 2),
        "plain_calls_seconds": round(plain, 2),
        "around_a_task_seconds": round((wall - sum(inside)) / len(inside), 3),
        "in_all_seconds_a_shard": round((wall - plain) / len(inside), 3),
    }


def main(folder: str, count: str = "6") -> None:
    sources = sorted(Path(folder).glob("*.mp4"))
    with tempfile.TemporaryDirectory() as scratch:
        clips = Path(scratch) / "clips"
        clips.mkdir()
        for number in range(int(count) * SHARD_SIZE):
            shutil.copy(sources[number % len(sources)], clips / f"{number:04}.mp4")
        request = ExtractRequest(
            str(Path(scratch) / "s.zarr"),
            ExtractOptions(
                ("toy_visual", "toy_audio"), ("random:1",), clip_seconds=2, shard_size=SHARD_SIZE, workers=1
            ),
            clips=str(clips),
        )
        print(json.dumps(overhead(request), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])

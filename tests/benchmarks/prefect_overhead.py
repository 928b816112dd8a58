"""What a shard costs on Prefect's path: shards as tasks of a flow, less the same clips in one plain run.

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
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.shards import prepare_shards

SHARD_SIZE = 64
BACKBONES |= {"toy_visual": "toy_backbones:ToyVisual", "toy_audio": "toy_backbones:ToyAudio"}


@flow(name="overhead")
def overhead(request: ExtractRequest) -> dict:
    work = prepare_shards(request.table(), request.store, request.options)
    started = time.monotonic()
    results = shards.run_shards(request, work, Placement(), log=logging.getLogger("prefect"))
    wall = time.monotonic() - started
    assert not results.problems, results.problems
    bare = replace(request, store=request.store + ".bare.zarr")
    plain = extract(bare.table(), bare.store, bare.options).seconds
    return {
        "shards": len(work.shards),
        "clips_a_shard": SHARD_SIZE,
        "as_tasks_seconds": round(wall, 2),
        "one_plain_run_seconds": round(plain, 2),
        "more_seconds_a_shard": round((wall - plain) / len(work.shards), 3),
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

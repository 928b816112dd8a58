"""The store against ``.npy`` files: size, number of files, reading, writing, import. Prints one JSON line.

Synthetic features like those after a ReLU (the share of zeros is in the output), 2,000 clips of three backbones. The
page cache is warm for both sides; batches are shuffled batches of 32, as a trainer asks for them.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.datasets.memory import load_segments
from pipeline.exchange.importing import import_features
from pipeline.exchange.npy_layouts import LAYOUTS
from pipeline.malloc import keep_freed_memory
from storage.clips import Clip, ClipTable
from storage.ledger import Row
from storage.schema import Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

SHAPES = {"resnet152": (80, 2048), "r2plus1d_18": (10, 512), "vggish": (10, 128)}
PARTS = {part.array: part for part in LAYOUTS["avvp-eccv20"]}
FOLDERS = {"resnet152": "res152", "r2plus1d_18": "r2plus1d_18", "vggish": "vggish"}
BLOCK = 64
SHARD = 1024
"""As avvp import makes them."""
BATCH = 32
REPEATS = 5


def timed(work) -> float:
    touch_memory()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternately(out: dict, work: Path, **sides) -> None:
    """The median of some times each, one side after the other: what the machine does meanwhile meets both."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, side in sides.items():
            times[name].append(timed(lambda side=side: side(work / "scratch")))
            shutil.rmtree(work / "scratch", ignore_errors=True)
    out |= {name: statistics.median(seconds) for name, seconds in times.items()}
    out |= {f"{name}_all": seconds for name, seconds in times.items()}


def touch_memory(size: int = 6 << 30) -> None:
    """In a virtual machine, memory that was not used of late comes at a third of the speed: use it before timing."""
    block = 256 << 20
    kept = [np.ones(block, np.uint8) for _ in range(size // block)]
    del kept


def features(kind: str, clips: int) -> np.ndarray:
    random = np.random.default_rng(len(kind))
    out = np.empty((clips, *SHAPES[kind]), np.float32)
    for first in range(0, clips, BLOCK):
        block = out[first : first + BLOCK]
        block[:] = np.maximum(random.standard_normal(block.shape, dtype=np.float32) + 0.23, 0)
    return out


def save_npy(data: dict, ids: list[str], folder: Path) -> None:
    for kind, values in data.items():
        (folder / FOLDERS[kind]).mkdir(parents=True)
        for name, row in zip(ids, values, strict=True):
            np.save(folder / FOLDERS[kind] / f"{name}.npy", row)


def write_store(url: str, data: dict, ids: list[str], *, codec: str = "auto", dtype: str = "float32") -> FeatureStore:
    store = FeatureStore.create(url, ClipTable([Clip(name, name) for name in ids]), shard_size=SHARD)
    for kind, values in data.items():
        origin = Provenance(kind, "1", "random:0", {}, "uniform")
        store.ensure_feature(PARTS[kind].spec(dtype), origin, codec=codec)
        with ThreadPoolExecutor(2) as background:  # as the engine: the next shard is encoded while one is written
            list(background.map(partial(_write_shard, store, kind, values), range(store.shards)))
    return FeatureStore.open(url)


def _write_shard(store: FeatureStore, kind: str, values: np.ndarray, shard: int) -> None:
    span = store.shard_rows(shard)
    rows = [Row(store.ids[row], "ok", stored=True) for row in span]
    mask = np.ones((len(span), SHAPES[kind][0]), bool)
    with claim(store, [kind], shard):
        commit_features(store, kind, shard, values=values[span.start : span.stop], valid=mask, rows=rows)


def size_and_files(folder: Path) -> tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files), len(files)


def main() -> None:
    keep_freed_memory()  # as the commands do
    clips = json.loads(sys.argv[1]).get("clips", 2000)
    ids = [f"clip{number:07d}" for number in range(clips)]
    data = {kind: features(kind, clips) for kind in SHAPES}
    order = np.random.default_rng(0).permutation(clips)
    batches = [order[first : first + BATCH] for first in range(0, clips, BATCH)]
    out: dict[str, object] = {"zeros": float((data["resnet152"] == 0).mean()), "clips": clips}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        npy = work / "npy"
        alternately(
            out, work, npy_write=lambda at: save_npy(data, ids, at),
            store_write=lambda at: write_store(str(at), data, ids),
        )  # fmt: skip
        save_npy(data, ids, npy)
        write_store(str(work / "default"), data, ids)
        out["npy_bytes"], out["npy_files"] = size_and_files(npy)
        out["store_bytes"], out["store_files"] = size_and_files(work / "default")
        write_store(str(work / "half"), data, ids, dtype="float16")
        out["half_bytes"], _ = size_and_files(work / "half")
        write_store(str(work / "plain"), data, ids, codec="none")
        data.clear()
        _reading(out, work, npy, ids, batches)
        alternately(
            out, work, **{"import": lambda at: _import(at, npy, ids)},
            npy_read=lambda at: [np.stack([np.load(npy / FOLDERS[kind] / f"{name}.npy") for name in ids])
                                 for kind in SHAPES],
        )  # fmt: skip
        out["open"] = timed(lambda: FeatureStore.open(work / "default").read("vggish", [5]))
    print(json.dumps(out))


def _reading(out: dict, work: Path, npy: Path, ids: list[str], batches: list[np.ndarray]) -> None:
    _read_npy(npy, ids, list(SHAPES))  # warm
    out["npy_batches"] = timed(
        lambda: [np.stack([np.load(npy / FOLDERS[kind] / f"{ids[row]}.npy") for row in batch])
                 for batch in batches for kind in SHAPES]
    )  # fmt: skip
    for name in ("default", "plain"):
        store = FeatureStore.open(work / name)
        store.threads.count = 2
        for kind in SHAPES:
            store.read(kind)
        out[f"{name}_batches"] = timed(partial(_batches, store, batches))
    store = FeatureStore.open(work / "default")
    out["store_load"] = timed(lambda: store.read("resnet152"))
    out["npy_load"] = timed(lambda: np.stack([np.load(npy / "res152" / f"{name}.npy") for name in ids]))
    loaded = [load_segments(store, kind, None, segments=10) for kind in SHAPES]
    out["memory_batches"] = timed(lambda: [kind.batch(batch) for batch in batches for kind in loaded])


def _npy_batches(npy: Path, ids: list[str], batches: list[np.ndarray]) -> None:
    for batch in batches:
        for kind in SHAPES:
            np.stack([np.load(npy / FOLDERS[kind] / f"{ids[row]}.npy") for row in batch])


def _batches(store: FeatureStore, batches: list[np.ndarray]) -> None:
    for batch in batches:
        for kind in SHAPES:
            store.read(kind, batch)


def _read_npy(npy: Path, ids: list[str], kinds: list[str]) -> None:
    for kind in kinds:
        for name in ids:
            np.load(npy / FOLDERS[kind] / f"{name}.npy")


def _import(url: Path, npy: Path, ids: list[str]) -> None:
    store = FeatureStore.create(str(url), ClipTable([Clip(name, name) for name in ids]), shard_size=SHARD)
    import_features(store, npy, LAYOUTS["avvp-eccv20"])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()

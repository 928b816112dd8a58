"""A run whose device breaks at the third batch. Prints what was committed, and ends with 1 if the run stopped.

    python broken_device.py cuda:0

Run by faults.py in a process of its own: after a device-side assert nothing works on that GPU in the same process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from extractors.base import Units
from extractors.batch_runner import BatchRunner
from extractors.engines.device_errors import is_device_broken
from storage.errors import BackboneBroken

CLIPS, BATCHES_BEFORE = 64, 3


def break_device(device: str) -> None:
    if device == "cpu":
        raise RuntimeError("CUDA error: device-side assert triggered")
    torch.zeros(1, device=device)[torch.tensor([5], device=device)].cpu()


def recognised(device: str) -> bool:
    """Whether the error is told from that of an odd clip; all that can be asked without the engine."""
    try:
        break_device(device)
    except (RuntimeError, AssertionError) as error:
        return is_device_broken(error)
    return False


def run(device: str) -> dict[str, object]:
    """The engine over clips that are decoded already; few clips a shard, so that many could have been written off."""
    import ceiling
    from bench import FakeLanes, load

    from pipeline.extraction.engine import Engine, LoadedBackbone
    from pipeline.extraction.plan import make_plan
    from pipeline.extraction.reporting import Reporter
    from storage.clips import Clip

    extractor, calls = load("vggish", device=device, precision="float32"), []
    plain = extractor.forward

    def forward(batch):
        calls.append(len(batch))
        if len(calls) > BATCHES_BEFORE:
            break_device(device)
        return plain(batch)

    extractor.forward = forward
    extractor.units = lambda clip: Units(torch.zeros(10, 1, 96, 64).numpy(), torch.ones(10, dtype=torch.bool).numpy())
    clips = [Clip(f"clip {number}", f"/nowhere/{number}.mp4") for number in range(CLIPS)]
    with tempfile.TemporaryDirectory() as folder:
        store, identities = ceiling.open_store(f"{folder}/s.zarr", clips, [extractor])
        plan = make_plan(store, list(identities), clips, fingerprint_of=lambda clip: "")
        lanes = FakeLanes() if device == "cpu" else None
        backbone = LoadedBackbone(extractor, BatchRunner(extractor, device=device, batch_units=10, lanes=lanes))
        source = ceiling.ReadyClips(clips, [extractor])
        engine = Engine(store, [backbone], source, kept={}, identities=identities, reporter=Reporter())
        problem = ""
        try:
            engine.run(plan.tasks, locked=lambda task: None)
        except BackboneBroken as stopped:
            problem = str(stopped)
        return {"committed_shards": len(store.ledger("vggish").states()), "stopped": problem}


def main() -> None:
    device = sys.argv[1]
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    try:
        found = run(device)
    except ImportError as missing:
        found = {"recognised": recognised(device), "skipped": f"the engine needs {missing.name}"}
    print(json.dumps(found), flush=True)
    sys.exit(1 if found.get("stopped") or found.get("recognised") else 0)


if __name__ == "__main__":
    main()

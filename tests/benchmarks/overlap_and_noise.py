"""Which property of made-up features matters to LEAP and MMIL: F1 of both, one property at a time, as Markdown.

    python tests/benchmarks/overlap_and_noise.py OUT [--seeds 1 2 3] [--settings NAME …] [--steps 3600]

Both decoders get HAN's encoder, the same data, the same number of steps and the same batches. A pair of runs is a file
in OUT: the script resumes where it was stopped, and several may work on the same OUT. ``--table`` prints what is there.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.llp import load_annotations
from pipeline.metrics.bootstrap import Interval, mean_intervals
from pipeline.metrics.parsing import SCORES
from pipeline.reports.evaluation import decide_predictions, read_predictions
from pipeline.synthetic.features import Difficulty, write_features
from pipeline.synthetic.label_geometry import read_label_geometry
from pipeline.synthetic.llp_counts import llp_counts
from pipeline.train import run_training
from storage.store import FeatureStore
from storage.tables.llp_names import LLP_CLASSES

HELD_OUT, BATCH = 300, 16
METHODS = {"MMIL": "mmil-han", "LEAP": "leap-han"}
WIDTH = "64"
SMALL = (f"model.width={WIDTH}", f"model.encoder.feed_forward={WIDTH}", f"train.batch_size={BATCH}",
         "train.learning_rate=1e-3", "train.schedule=constant")  # fmt: skip
LEAP = (f"model.decoder.feed_forward={WIDTH}",)
SCORE = "seg_event"
RAREST, FREQUENT = 9, 8


@dataclass(frozen=True)
class Setting:
    """One line of the table.

    Attributes:
        words: what differs from the first.
        clips: for training.
        level: of difficulty.
        geometry: ``kinds`` or a file, as ``--label-geometry`` takes it.
    """

    words: str
    clips: int = 1200
    level: Difficulty = field(default_factory=lambda: Difficulty(noise=2.0, overlap=0.15, frequencies="llp"))
    geometry: str | None = None


BASE = Setting("overlap 0.15, noise 2")
TOGETHER = replace(BASE.level, overlap=0.3, error_seconds=4.0)


def levels(**knobs: Any) -> Difficulty:
    """The first setting's level with other knobs."""
    return replace(BASE.level, **knobs)


SETTINGS = {
    "o15-n2": BASE,
    "o00-n2": Setting("overlap 0, noise 2", level=levels(overlap=0.0)),
    "o30-n2": Setting("overlap 0.3, noise 2", level=levels(overlap=0.3)),
    "kinds": Setting("label geometry: kinds", geometry="kinds"),
    "runs": Setting("pseudo labels wrong for 4 s at a time", level=levels(error_seconds=4.0)),
    "clips-4800": Setting("4,800 training clips", clips=4800),
    "together": Setting("overlap 0.3, errors of 4 s, kinds, 4,800 clips", 4800, TOGETHER, "kinds"),
    "even": Setting("every class equally often", level=levels(frequencies="even")),
    "o00-n1": Setting("overlap 0, noise 1", level=levels(overlap=0.0, noise=1.0)),
    "o30-n1": Setting("overlap 0.3, noise 1", level=levels(overlap=0.3, noise=1.0)),
    "o00-n3": Setting("overlap 0, noise 3", level=levels(overlap=0.0, noise=3.0)),
    "o30-n3": Setting("overlap 0.3, noise 3", level=levels(overlap=0.3, noise=3.0)),
    "clips-400": Setting("400 training clips", clips=400),
    "o15-n1": Setting("overlap 0.15, noise 1", level=levels(noise=1.0)),
    "o15-n3": Setting("overlap 0.15, noise 3", level=levels(noise=3.0)),
}
"""The most telling first, for whoever stops early."""


def epochs_of(clips: int, steps: int) -> int:
    """So many epochs that the steps are done."""
    return max(1, round(steps / -(-clips // BATCH)))


def measure(setting: Setting, seed: int, steps: int, geometry: str | None) -> dict[str, Any]:
    """Make the data, train both on it, score them on test."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = geometry or setting.geometry
        store = write_features(
            folder, count=setting.clips + 2 * HELD_OUT, seed=seed, held_out=HELD_OUT, difficulty=setting.level,
            label_geometry=None if source is None else read_label_geometry(source, seed=seed),
        )  # fmt: skip
        found = {method: _run(method, store, folder, seed, setting.clips, steps) for method in METHODS}
        several = store.provenance("vggish").preprocessing["segments_with_several_events"]
    return {"seconds": time.monotonic() - began, "overlap": several, "steps": steps, "methods": found}


def _run(method: str, store: FeatureStore, folder: Path, seed: int, clips: int, steps: int) -> dict[str, Any]:
    out, labels = folder / method, str(folder / "annotations")
    changes = (
        *SMALL,
        *(LEAP if method == "LEAP" else ()),
        f"train.seed={seed}",
        f"train.epochs={epochs_of(clips, steps)}",
    )
    run_training(
        recipe=METHODS[method], store_url=str(store.url), annotations=labels, out=out, changes=changes, device="cpu"
    )
    predictions = read_predictions(out / "predictions-test.npz")
    decided = decide_predictions(predictions, load_annotations(labels), "test", mask="union")
    videos = decided.scores()
    curve = [json.loads(line)["val"][SCORE] for line in (out / "metrics.jsonl").read_text().splitlines()]
    pairs = [(decided.audio, decided.truth.audio), (decided.visual, decided.truth.visual)]
    hits = sum((found & true.astype(bool)).sum(axis=(0, 1)) for found, true in pairs)
    wanted = sum(true.astype(int).sum(axis=(0, 1)) for _, true in pairs)
    shutil.rmtree(out)
    values = videos.values[:, SCORES.index(SCORE)].tolist()
    means = videos.mean().as_dict()
    return {"scores": means, "videos": values, "curve": curve, "hits": hits.tolist(), "wanted": wanted.tolist()}


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process has the file for itself."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def work(out: Path, names: Sequence[str], seeds: Sequence[int], steps: int, geometry: str | None) -> None:
    """Measure what is not there yet, seed after seed."""
    out.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for name in names:
            done = out / f"{name}_{steps}_{seed}.json"
            with claimed(done.with_suffix(".lock")) as mine:
                if not mine or done.exists():
                    continue
                half = done.with_suffix(".part")
                half.write_text(json.dumps(measure(SETTINGS[name], seed, steps, geometry)))
                half.rename(done)


def table(out: Path, names: Sequence[str]) -> str:
    """The results that are there, a line a setting."""
    heads = ["setting", "steps", "seeds", "MMIL", "LEAP", "LEAP minus MMIL", "by seed", "recall MMIL", "recall LEAP"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in names:
        pairs = [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}_*_*.json"))]
        for steps in sorted({pair["steps"] for pair in pairs}):
            cells = _cells(SETTINGS[name].words, [pair for pair in pairs if pair["steps"] == steps])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(words: str, found: Sequence[dict[str, Any]]) -> list[str]:
    values = {name: [np.array(one["methods"][name]["videos"]) for one in found] for name in METHODS}
    means = [f"{np.mean([part.mean() for part in values[name]]):.1f}" for name in METHODS]
    differences = [leap - mmil for leap, mmil in zip(values["LEAP"], values["MMIL"], strict=True)]
    interval: Interval = mean_intervals(np.concatenate(differences)[:, None], ["difference"])["difference"]
    seeds = ", ".join(f"{each.mean():+.1f}" for each in differences)
    whole = f"{interval.estimate:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"
    recalls = [_recalls([one["methods"][name] for one in found]) for name in METHODS]
    return [words, str(found[0]["steps"]), str(len(found)), *means, whole, seeds, *recalls]


def _recalls(runs: Sequence[dict[str, Any]]) -> str:
    """Recall of segments, both modalities together: of LLP's rarest, middle and most frequent classes."""
    counts = llp_counts().train.items()
    order = np.argsort([sum(count for names, count in counts if name in names) for name in LLP_CLASSES])
    hits, wanted = (np.sum([run[part] for run in runs], axis=0) for part in ("hits", "wanted"))
    parts = np.split(order, [RAREST, len(order) - FREQUENT])
    return " / ".join(f"{hits[part].sum() / max(wanted[part].sum(), 1):.2f}" for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--geometry", help="label embeddings for every setting, in place of its own")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    if not given.table:
        warnings.simplefilter("ignore")
        work(given.out, given.settings, given.seeds, given.steps, given.geometry)
    print(table(given.out, given.settings))


if __name__ == "__main__":
    main()

"""Peak memory of a long run: all five backbones over 3 clips x 40. Prints one JSON line. About half an hour on 2 cores.

Counted is the resident memory of the process and all its workers, every 0.5 s; shared pages count once for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

FIVE = ["resnet152", "r2plus1d_18", "clip_vit_l14", "vggish", "clap"]
_EVERY_SECONDS = 0.5


def tree_bytes(process: psutil.Process) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    request = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "clips.csv"
        rows = [f"{Path(path).stem} {copy},{path}" for copy in range(request["copies"]) for path in request["clips"]]
        table.write_text("\n".join(["id,path", *rows]) + "\n")
        command = [str(Path(sys.executable).with_name("avvp")), "extract", "--clips", str(table), "--store",
                   f"{folder}/store.zarr", "--weights", "random:0", "--deadline", "3600"]  # fmt: skip
        for name in FIVE:
            command += ["--backbone", name]
        began = time.monotonic()
        with subprocess.Popen(command, stdout=sys.stderr) as run:
            watched, peak = psutil.Process(run.pid), 0
            while run.poll() is None:
                peak = max(peak, tree_bytes(watched))
                time.sleep(_EVERY_SECONDS)
        if run.returncode:
            raise SystemExit(f"extract ended with {run.returncode}")
        print(json.dumps({"peak_bytes": peak, "clips": len(rows), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()

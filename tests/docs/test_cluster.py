"""The scripts of docs/cluster.md and the Kubernetes files, without SLURM or Kubernetes."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import avvp

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "cluster.md").read_text()
SCRIPTS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BATCH = [script for script in SCRIPTS if "#SBATCH" in script]
JOB = yaml.safe_load((ROOT / "docker" / "kubernetes-job.yaml").read_text())
POOL = json.loads((ROOT / "docker" / "kubernetes-pool.json").read_text())
NOTES = 'printf "%s\\n" "$(basename "$0") $*" >> "$NOTED"\n'


def run_with_notes(script, folder, **environment):
    """Run a script in which every command of a cluster only notes how it was called. Gives the notes."""
    for name in ("srun", "dask", "ray", "sleep", "avvp", "tini"):
        command = folder / name
        rest = {"srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"\n', "tini": 'shift; exec "$@"\n'}
        command.write_text(f"#!/bin/sh\n{NOTES}{rest.get(name, '')}")
        command.chmod(0o755)
    noted = folder / "noted"
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{script}\nwait"],
        env={"PATH": path, "HOME": str(folder), "NOTED": str(noted), **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return noted.read_text().splitlines()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.split("\n")[0][:40])
def test_scripts_are_valid(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert not done.stderr


def test_the_scripts_that_there_are():
    assert len(BATCH) == 3
    assert all(script.startswith("#!/bin/bash\n#SBATCH --job-name=") for script in BATCH)


def test_a_job_of_an_array_does_its_part(tmp_path):
    notes = run_with_notes(BATCH[0], tmp_path, SLURM_ARRAY_TASK_ID="3")
    (call,) = [shlex.split(note) for note in notes if note.startswith("avvp ")]
    assert call[-2:] == ["--shards", "3/16"]
    known = {name for option in avvp.commands["extract"].params for name in option.opts}
    assert {part for part in call if part.startswith("--")} - {"--shards"} <= known


def test_dask_and_ray_start_on_the_nodes_of_a_job(tmp_path):
    for name in ("dask", "ray"):
        (tmp_path / name).mkdir()
    dask = run_with_notes(BATCH[1], tmp_path / "dask")
    assert [note.split()[:2] for note in dask if note.startswith("dask")].count(["dask", "scheduler"]) == 1
    assert sum(note.startswith("dask worker tcp://") for note in dask) == 1
    ray = run_with_notes(BATCH[2], tmp_path / "ray", SLURM_NNODES="4", SLURM_CPUS_PER_TASK="16")
    assert sum(note.startswith("ray start --head --block") for note in ray) == 1
    assert any(note.startswith("srun --nodes=3 --ntasks=3") for note in ray)


def placeholders(value):
    return set(re.findall(r"{{ (\w+) }}", json.dumps(value)))


def test_the_work_pool_asks_for_what_its_pods_use():
    properties = POOL["variables"]["properties"]
    assert placeholders(POOL["job_configuration"]) == set(properties)
    assert POOL["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"][0]["resources"][
        "limits"
    ] == {"nvidia.com/gpu": "{{ gpus }}", "memory": "{{ memory }}"}
    listed = TEXT[TEXT.index("The job variables are ") :].partition("\n\n")[0].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) <= set(properties)


def test_pods_of_both_files_are_alike():
    ours, theirs = (
        JOB["spec"]["template"]["spec"],
        POOL["job_configuration"]["job_manifest"]["spec"]["template"]["spec"],
    )
    for key in ("securityContext", "restartPolicy"):
        assert ours[key] == theirs[key]
    for key in ("volumeMounts", "securityContext"):
        assert ours["containers"][0][key] == theirs["containers"][0][key]
    for spec in (ours, theirs):
        mounts = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert mounts == {volume["name"] for volume in spec["volumes"]}


def test_a_pod_of_the_job_does_its_part(tmp_path):
    command = JOB["spec"]["template"]["spec"]["containers"][0]
    script = shlex.join([*command["command"], *command["args"]])
    notes = run_with_notes(script, tmp_path, JOB_COMPLETION_INDEX="15")
    assert notes[-1].startswith("avvp extract ")
    assert notes[-1].endswith(f"--shards 15/{JOB['spec']['completions']}")


def test_prefect_makes_pods_with_gpus_of_the_work_pool():
    from prefect.utilities.templating import apply_values

    chosen = {name: item["default"] for name, item in POOL["variables"]["properties"].items() if "default" in item}
    made = apply_values(POOL["job_configuration"], {**chosen, "gpus": 2, "stores_claim": "fast"})
    pod = made["job_manifest"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 2, "memory": "32Gi"}
    assert pod["volumes"][1]["persistentVolumeClaim"] == {"claimName": "fast"}
    assert made["job_manifest"]["spec"]["ttlSecondsAfterFinished"] == 86400

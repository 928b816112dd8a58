"""Tasks and flows as plain functions, without a server; retries; child processes; deployments."""

import errno
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest
import yaml

from flows import fillers, shards
from flows.deployments import FLOWS
from flows.parameters import ExtractRequest
from flows.retries import back_off, may_pass
from flows.run_module import ModuleFailed, run_module
from flows.train import train
from flows.up import find_place, free_port, write_environment
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.requirements import needs_of
from pipeline.extraction.shards import prepare_shards
from pipeline.recipes.recipe import FeaturesRecipe
from storage.errors import BackboneBroken, InvalidInput, SchemaMismatch, ShardLocked, StoreError

LOG = logging.getLogger("test")


@pytest.fixture
def offline(monkeypatch):
    """No server: logs go to logging, the bar to nobody."""
    monkeypatch.setattr(shards, "get_run_logger", lambda: LOG)
    monkeypatch.setattr("flows.bars.create_progress_artifact", lambda *_, **__: None)
    yield
    for filler in fillers._FILLERS.values():
        filler.close()
    fillers._FILLERS.clear()


def test_a_task_does_one_shard_and_a_second_call_finds_nothing_to_do(offline, toys, six_clips, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    request = ExtractRequest(
        str(tmp_path / "s.zarr"),
        ExtractOptions(("toy_visual", "toy_audio"), ("random:1",), clip_seconds=2, shard_size=3, workers=1),
        clips=str(six_clips),
    )
    prepare_shards(request.table(), request.store, request.options)
    report = shards.fill_shard.fn(request, 1, "run")
    assert (report.shard, report.read, report.failed) == (1, 3, 1)
    assert "1 clip without features: unreadable" in caplog.text
    assert ": x broken" in caplog.text
    assert shards.fill_shard.fn(request, 1, "run").read == 0
    assert caplog.text.count("loading toy_visual") == 1
    assert prepare_shards(request.table(), request.store, request.options).shards == (0,)


def test_a_broken_device_fails_the_task_with_its_reason_and_commits_nothing(
    offline, toys, six_clips, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("TOY_STICKY_AT", "2")
    request = ExtractRequest(
        str(tmp_path / "s.zarr"),
        ExtractOptions(("toy_sticky",), ("random:1",), clip_seconds=2, shard_size=3, workers=1),
        clips=str(six_clips),
    )
    prepare_shards(request.table(), request.store, request.options)
    with pytest.raises(BackboneBroken, match="CUDA error: an illegal memory access") as raised:
        shards.fill_shard.fn(request, 0, "run")
    assert not may_pass(raised.value)
    assert caplog.text.count("the worker of cpu ended: backbone toy_sticky: RuntimeError: CUDA error") == 3
    monkeypatch.delenv("TOY_STICKY_AT")
    assert prepare_shards(request.table(), request.store, request.options).shards == (0, 1)
    assert shards.fill_shard.fn(request, 0, "another run").failed == 0


def test_tasks_of_one_run_share_their_workers_until_it_ends(offline, toys, six_clips, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    request = ExtractRequest(
        str(tmp_path / "s.zarr"),
        ExtractOptions(("toy_visual", "toy_audio"), ("random:1",), clip_seconds=2, shard_size=1, workers=1),
        clips=str(six_clips),
    )
    prepare_shards(request.table(), request.store, request.options)
    with ThreadPoolExecutor(2) as threads, fillers.closing_fillers("one run"):
        reports = [*threads.map(lambda shard: shards.fill_shard.fn(request, shard, "one run"), range(6))]
        with fillers.shard_filler(request, "one run") as filler:
            family = [psutil.Process(pid) for pid in filler.worker_pids]
            family += family[0].children()
    assert [report.read for report in reports] == [1] * 6
    assert len(family) == 2, "one worker and its decode worker"
    assert caplog.text.count("loading toy_visual") == caplog.text.count("loading toy_audio") == 1
    assert not psutil.wait_procs(family, timeout=20)[1], "left behind"
    with pytest.raises(BackboneBroken, match="the run was stopped"):
        shards.fill_shard.fn(request, 0, "one run")


def test_a_run_closes_the_workers_of_those_before_it(offline, toys, six_clips, tmp_path):
    request = ExtractRequest(str(tmp_path / "s.zarr"), ExtractOptions(("toy_audio",), ("random:1",)), str(six_clips))
    with fillers.shard_filler(request, "one"), fillers.shard_filler(request, "two"):
        assert [run for _, run, _ in fillers._FILLERS] == ["one", "two"]
    with fillers.shard_filler(request, "three") as filler, fillers.shard_filler(request, "three") as same:
        assert same is filler
        assert [run for _, run, _ in fillers._FILLERS] == ["three"]


@pytest.mark.parametrize(
    ("devices", "processes", "expected"),
    [
        ("cuda:0,cuda:1", 2, [("cuda:0", 8), ("cuda:1", 8)]),
        ("cuda:0,cuda:1,cuda:2", 2, [("cuda:0,cuda:2", 10), ("cuda:1", 5)]),
        ("cuda:0,cuda:1", 4, [("cuda:0", 4), ("cuda:1", 4), ("cuda:0", 4), ("cuda:1", 4)]),
        ("cuda:0", 2, [("cuda:0", 8), ("cuda:0", 8)]),
    ],
)
def test_processes_of_a_cluster_share_what_the_machine_has(monkeypatch, devices, processes, expected):
    monkeypatch.setattr("pipeline.extraction.worker_count.usable_cores", lambda: 16)
    whole = ExtractOptions(("toy_audio",), ("random:1",), device=devices, memory="1GB")
    parts = [fillers.part_of(whole, number, processes) for number in range(processes)]
    assert [(part.device, part.workers) for part in parts] == expected
    assert {part.memory_bytes for part in parts} == {10**9 // processes}
    asked = ExtractOptions(("toy_audio",), ("random:1",), device=devices, workers=9)
    assert {fillers.part_of(asked, number, processes).workers for number in range(processes)} == {9 // processes}


def chained(outer, inner):
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ShardLocked("held"), True),
        (OSError(errno.EIO, "i/o"), True),
        (chained(StoreError("s3"), ConnectionError()), True),
        (type("EndpointConnectionError", (Exception,), {})(), True),
        (OSError(errno.ENOSPC, "full"), False),
        (SchemaMismatch("other clips"), False),
        (StoreError("damaged"), False),
        (RuntimeError("bug"), False),
        (None, False),
    ],
)
def test_only_what_may_pass_is_tried_again(problem, expected):
    assert may_pass(problem) is expected


def test_retries_wait_longer_each_time():
    assert back_off(4) == [2.0, 4.0, 8.0, 16.0]
    assert shards.fill_shard.retries == 4


def module(tmp_path, monkeypatch, text):
    (tmp_path / "some_module.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "some_module"


def test_lines_of_a_module_go_to_the_log(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    name = module(tmp_path, monkeypatch, "import sys; print('one'); print('two', *sys.argv[1:], file=sys.stderr)")
    run_module(name, ["--x", "1"], log=LOG)
    assert [record.message for record in caplog.records] == ["one", "two --x 1"]


def test_a_module_that_refuses_or_breaks_is_told_in_one_line(tmp_path, monkeypatch):
    name = module(tmp_path, monkeypatch, "import sys; print('a'); print('no such recipe'); sys.exit(int(sys.argv[1]))")
    with pytest.raises(InvalidInput, match=r"^no such recipe$"):
        run_module(name, ["2"], log=LOG)
    with pytest.raises(ModuleFailed, match="exit code 1: a no such recipe"):
        run_module(name, ["1"], log=LOG)


def test_a_module_ends_with_the_process_that_started_it(tmp_path, monkeypatch):
    name = module(tmp_path, monkeypatch, "import time; print('up', flush=True); time.sleep(600)")
    code = f"import logging; from flows.run_module import run_module; run_module({name!r}, [], log=logging.getLogger())"
    parent = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (children := psutil.Process(parent.pid).children()) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_folder_that_is_not_there_is_refused_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr("flows.train.load_recipe", lambda *_: SimpleNamespace())
    monkeypatch.setattr("flows.outcomes.get_run_logger", lambda: LOG)
    state = train.fn("r", "s", str(tmp_path / "none"), "out")
    assert (state.name, state.type.value) == ("Refused", "FAILED")
    assert "no such folder" in state.message


def test_what_a_recipe_needs():
    plain = needs_of(FeaturesRecipe(labels="glove"), clip_seconds=10)
    assert (plain.backbones, plain.embedders) == (("vggish", "resnet152", "r2plus1d_18"), ("glove",))
    pseudo = needs_of(FeaturesRecipe("clap", "clip_vit_l14", "r2plus1d_18", pseudo_labels="valor"), clip_seconds=10)
    assert pseudo.backbones == ("clap", "clip_vit_l14", "r2plus1d_18")
    assert pseudo.embedders == ("clip", "clap")
    with pytest.raises(InvalidInput, match="no backbone gives the array 'mine'"):
        needs_of(FeaturesRecipe("mine"), clip_seconds=10)


def test_prefect_yaml_has_every_flow_on_both_pools(request):
    body = yaml.safe_load((request.config.rootpath / "prefect.yaml").read_text())
    tags = {entry.entrypoint: list(entry.tags) for entry in FLOWS}
    tags |= {f"flows.{entry.module}.{entry.function}": list(entry.tags) for entry in FLOWS}
    assert all(item["tags"] == tags[item["entrypoint"]] for item in body["deployments"])
    listed = {(item["name"], item["work_pool"]["name"], item["entrypoint"]) for item in body["deployments"]}
    local = {("local", "local", entry.entrypoint) for entry in FLOWS}
    docker = {("docker", "docker", f"flows.{entry.module}.{entry.function}") for entry in FLOWS}
    assert listed == local | docker
    assert "pull" not in body


def test_a_server_that_is_configured_is_used(tmp_path):
    place = find_place(tmp_path / "home", 4200, {"PREFECT_API_URL": "http://prefect:4200/api/"})
    assert (place.api, place.own, place.dashboard) == ("http://prefect:4200/api", False, "http://prefect:4200")
    own = find_place(tmp_path / "home", 4200, {})
    assert own.own
    assert own.api.startswith("http://127.0.0.1:")


def test_a_taken_port_is_left_alone():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert free_port(taken.getsockname()[1]) != taken.getsockname()[1]


def test_the_second_terminal_can_source_what_it_needs(tmp_path):
    place = find_place(tmp_path / "a home", 4200, {"PREFECT_API_URL": "http://p/api"})
    file = write_environment(place)
    shell = f". '{file}'; echo $PREFECT_API_URL $DO_NOT_TRACK $PREFECT_SERVER_ANALYTICS_ENABLED; echo $PREFECT_HOME"
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["http://p/api 1 false", str((tmp_path / "a home").resolve())]


def test_avvp_up_becomes_flows_up(monkeypatch, tmp_path):
    from click.testing import CliRunner

    from pipeline.cli import up as up_cli

    seen = []
    monkeypatch.setattr(up_cli.os, "execv", lambda program, arguments: seen.append((program, arguments)))
    assert CliRunner().invoke(up_cli.up, ["--port", "4321"]).exit_code == 0
    program, arguments = seen[0]
    assert program == sys.executable
    assert arguments[1:] == ["-m", "flows.up", "--home", ".avvp/prefect", "--port", "4321", "--pool", "local", "--runs", "1"]  # fmt: skip  # noqa: E501
    (tmp_path / "mine.yaml").write_text("deployments: []")
    assert CliRunner().invoke(up_cli.up, ["--deploy", str(tmp_path / "mine.yaml")]).exit_code == 0
    assert seen[1][1][-2:] == ["--deploy", str(tmp_path / "mine.yaml")]
    assert CliRunner().invoke(up_cli.up, ["--deploy", str(tmp_path / "none.yaml")]).exit_code == 2


def test_label_flows_hand_their_parameters_on(monkeypatch):
    from flows import build_labels, pseudo_labels

    seen = {}

    def labels(store, **options):
        seen.update(options, store=store)
        made = SimpleNamespace(spec=SimpleNamespace(name="bert"), vectors=SimpleNamespace(shape=(25, 768)))
        return made, True

    def pseudo(store, **options):
        seen.update(options, store=store)
        return SimpleNamespace(teacher="valor"), False

    monkeypatch.setattr(build_labels, "make_labels", labels)
    monkeypatch.setattr(pseudo_labels, "make_pseudo_labels", pseudo)
    state = build_labels.build_labels.fn("s.zarr", "bert", tokenizer="folder", prompts="names")
    assert state.message == "labels/bert: 25 classes, 768 numbers each"
    assert (seen["store"], seen["options"], seen["prompts"]) == ("s.zarr", {"tokenizer": "folder"}, "names")
    state = pseudo_labels.pseudo_labels.fn("s.zarr", annotations="dir", subset=True)
    assert state.message == "pseudo_labels/valor: nothing to do, the same is there"
    assert (seen["annotations"], seen["subset"], seen["dataset"].name) == ("dir", True, "llp")


def test_the_chain_ends_as_its_last_step_and_tells_of_failed_clips():
    from prefect.states import Completed, Failed

    from flows.llp import _end_of

    clean, some = Completed(message="12 clips done"), Completed(name="CompletedWithFailures", message="1 of 12 failed")
    assert _end_of(Completed(message="average 50"), clean).message == "average 50"
    both = _end_of(Completed(message="average 50"), some)
    assert (both.name, both.message) == ("CompletedWithFailures", "average 50; 1 of 12 failed")
    refused = _end_of(Failed(name="Refused", message="no such folder"), some)
    assert (refused.name, refused.message, refused.is_failed()) == ("Refused", "no such folder", True)

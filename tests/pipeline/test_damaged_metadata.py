"""Metadata that says what cannot be: every command ends with one line, whatever a library would have raised."""

import json
from pathlib import Path

import pytest
import toy_store as toy

from pipeline.cli.main import main

DAMAGE = {
    "a number of clips that no memory holds": ("zarr.json", ("attributes", "avvp", "clips"), 10**15),
    "true clips": ("zarr.json", ("attributes", "avvp", "clips"), True),
    "no clips in a shard": ("zarr.json", ("attributes", "avvp", "shard_size"), 0),
    "a shard of nothing": ("zarr.json", ("attributes", "avvp", "shard_size"), None),
    "seconds of text": ("zarr.json", ("attributes", "avvp", "clip_seconds"), "x"),
    "attributes in a list": ("zarr.json", ("attributes",), [3]),
    "a long column": ("clips/start_seconds/zarr.json", ("shape",), [10**15]),
    "a short column": ("clips/id/zarr.json", ("shape", 0), 3),
    "a column in chunks of truth": ("clips/id/zarr.json", ("chunk_grid", "configuration", "chunk_shape"), True),
    "a column of a list": ("clips/labels/zarr.json", (), [0]),
    "objects": ("features/net/values/zarr.json", ("data_type",), "object"),
    "a number for metadata": ("features/net/values/zarr.json", (), 3),
    "shards of text": ("features/net/values/zarr.json", ("chunk_grid", "configuration", "chunk_shape", 0), "x"),
    "no codecs": ("features/net/values/zarr.json", ("codecs",), []),
    "a shape of nothing": ("features/net/values/zarr.json", ("shape",), []),
    "a spec of lists": ("features/net/zarr.json", ("attributes", "avvp", "spec", "steps"), [6]),
    "a sampling of lists": ("features/net/zarr.json", ("attributes", "avvp", "provenance", "sampling"), [[[]]]),
    "no spec": ("features/net/zarr.json", ("attributes", "avvp", "spec"), 10**15),
    "a kept array of nothing": ("decoded/frames/zarr.json", ("attributes", "avvp", "spec"), None),
}


def put(node, path, value):
    if not path:
        return value
    at = node
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return node


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_command_ends_in_words(tmp_path, capsys, damage):
    store = toy.make(tmp_path / "s.zarr")
    name, path, value = DAMAGE[damage]
    file = Path(store.url) / name
    file.write_text(json.dumps(put(json.loads(file.read_text()), path, value)))
    codes = []
    for command in (["status"], ["inspect"], ["inspect", "net"], ["inspect", "--clip", store.ids[1]], ["verify"]):
        with pytest.raises(SystemExit) as ended:
            main([command[0], store.url, *command[1:]])
        out, err = capsys.readouterr()
        assert ended.value.code in (0, 2, 3), (command, err)
        assert err.count("\n") == (ended.value.code == 2), (command, err)
        assert len(out + err) < 5000
        codes.append(ended.value.code)
    assert codes[-1] in (2, 3), "verify tells of it"

import os
from pathlib import Path

import pytest

from storage.clips import Clip, ClipTable
from storage.errors import ClipTableError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_folder_is_sorted_recursive_and_keeps_odd_names(tmp_path):
    for name in ["b c.mp4", "a'é.webm", "deep/z.MKV", ".hidden/no.mp4", "notes.txt"]:
        touch(tmp_path / name)
    table = ClipTable.load(tmp_path)
    assert table.ids == ["a'é", "b c", "deep/z"]
    assert table[0].path == str(tmp_path / "a'é.webm")
    assert table[0].end_seconds is None


def test_folder_without_media_is_an_error(tmp_path):
    with pytest.raises(ClipTableError, match="no clips"):
        ClipTable.load(tmp_path)


def test_missing_source_is_an_error(tmp_path):
    with pytest.raises(ClipTableError, match="no such file or folder"):
        ClipTable.load(tmp_path / "nothing")


def test_two_files_with_one_stem_are_an_error(tmp_path):
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "a.webm")
    with pytest.raises(ClipTableError, match="'a' occur more than once"):
        ClipTable.load(tmp_path)


def test_llp_names_are_split_by_position(tmp_path):
    csv = tmp_path / "AVVP_test_pd.csv"
    csv.write_text("filename\tevent_labels\n_a-b_c_d-ef_10_20\tSpeech,Dog\nAP0061o0Nvk_101.8_111.8\tFrying_(food)\n")
    touch(tmp_path / "_a-b_c_d-ef.mp4")
    touch(tmp_path / "AP0061o0Nvk_101.8_111.8.mkv")
    table = ClipTable.load(csv)
    assert table[0] == Clip(
        "_a-b_c_d-ef_10_20", str(tmp_path / "_a-b_c_d-ef.mp4"), 10.0, 20.0, "test", ("Speech", "Dog")
    )
    assert table[1].start_seconds == 101.8
    assert table[1].path.endswith("_111.8.mkv")


def test_llp_bad_lines_are_named(tmp_path):
    csv = tmp_path / "AVVP_train.csv"
    csv.write_text("filename\tevent_labels\nshort_1_2\tDog\nBjCEufrlXm4_20_30\tDog\nBjCEufrlXm4_20_30\tDog\n")
    with pytest.raises(ClipTableError, match=r"2 lines are bad: line 2: expected .* line 4: .* already at .* line 3"):
        ClipTable.load(csv)


def test_dense_annotations_are_refused(tmp_path):
    csv = tmp_path / "AVVP_eval_audio.csv"
    csv.write_text("filename\tonset\toffset\tevent_labels\nBjCEufrlXm4_20_30\t0\t1\tDog\n")
    with pytest.raises(ClipTableError, match="dense annotations"):
        ClipTable.load(csv)


def test_our_csv_goes_round(tmp_path):
    table = ClipTable(
        [Clip("a,b", "/m/a b.mp4", 1.5, 11.5, "val", ("Dog", "Cat")), Clip('q"', '/m/q".mp4')], dataset="t"
    )
    table.to_csv(tmp_path / "t.csv")
    again = ClipTable.load(tmp_path / "t.csv")
    assert again.clips == table.clips
    assert again.hash == table.hash


def test_our_csv_takes_media_beside_it_and_a_stem_as_id(tmp_path):
    (tmp_path / "t.csv").write_text("path\nsub/x.mp4\n")
    assert ClipTable.load(tmp_path / "t.csv")[0] == Clip("x", str(tmp_path / "sub/x.mp4"))
    other = tmp_path / "media"
    other.mkdir()
    assert ClipTable.load(tmp_path / "t.csv", media=other)[0].path == str(other / "sub/x.mp4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,path,start_seconds\na,a.mp4,x\n", "line 2: start_seconds is 'x'"),
        ("id,path,start_seconds,end_seconds\na,a.mp4,5,5\n", "line 2: the span"),
        ("id,path,start_seconds\na,a.mp4,nan\n", "line 2: start_seconds is 'nan'"),
        ("id,path\na,a.mp4,1,2\n", "line 2: expected 2 fields"),
        ("id,path\na,a.mp4\na,b.mp4\n", "line 3: id 'a' is already in line 2"),
        ("name,file\na,b\n", "line 1: expected the columns"),
        ("id,path\n", "no clips"),
        ('id,path\n"a,a.mp4\nb,b.mp4\n', "line 2: not CSV from here on: unexpected end of data"),
        ('"id,path\n', "line 1: not CSV from here on"),
        (f"id,path\na,{'x' * 200_000}\n", "line 2: not CSV from here on: field larger"),
    ],
)
def test_our_csv_bad_lines_are_named(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ClipTableError, match=message):
        ClipTable.load(tmp_path / "t.csv")


def test_names_that_no_store_can_hold_are_an_error(tmp_path):
    touch(tmp_path / "good.mp4")
    touch(Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mp4")))
    with pytest.raises(ClipTableError, match=r"'bad\\udcff': the id, path or a label is not UTF-8"):
        ClipTable.load(tmp_path)
    (tmp_path / "t.jsonl").write_text('{"id": "a", "labels": ["\\ud800"]}\n')
    with pytest.raises(ClipTableError, match="'a': the id, path or a label"):
        ClipTable.load(tmp_path / "t.jsonl")


def test_jsonl(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"id": "a", "path": "a.mp4", "labels": ["Dog"]}\n\n{"path": "b.mp4"}\n')
    table = ClipTable.load(tmp_path / "t.jsonl")
    assert table.ids == ["a", "b"]
    assert table[0].labels == ("Dog",)
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n{"id": \n[1]\n')
    with pytest.raises(ClipTableError, match=r"2 lines are bad: line 2: not JSON.*line 3: expected an object"):
        ClipTable.load(tmp_path / "bad.jsonl")


def test_a_binary_file_is_no_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ClipTableError, match="not a text table"):
        ClipTable.load(tmp_path / "t.csv")


def test_hash_follows_order_and_spans_not_paths():
    one, two = Clip("a", "/x/a.mp4"), Clip("b", "/x/b.mp4")
    assert ClipTable([one, two]).hash != ClipTable([two, one]).hash
    assert ClipTable([one]).hash == ClipTable([Clip("a", "/y/a.mp4", split="val")]).hash
    assert ClipTable([one]).hash != ClipTable([Clip("a", "/x/a.mp4", 0.0, 5.0)]).hash


def test_real_llp(shared_dir):
    table = ClipTable.load(shared_dir / "llp", media=shared_dir / "clips")
    splits = [clip.split for clip in table]
    assert [splits.count(name) for name in ("train", "val", "test")] == [10_000, 649, 1_200]
    assert sum(not clip.start_seconds.is_integer() for clip in table) == 5
    assert table[0].path == str(shared_dir / "clips" / "BjCEufrlXm4.mp4")
    assert len(ClipTable.load(shared_dir / "llp" / "AVVP_dataset_full.csv")) == 11_849

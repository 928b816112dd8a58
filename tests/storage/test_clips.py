import contextlib
import json
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from storage.clips import Clip, ClipTable
from storage.errors import ClipTableError
from storage.tables.media_files import MEDIA_SUFFIXES


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
    touch(tmp_path / "b.ogv")
    touch(tmp_path / "b.vob")
    with pytest.raises(
        ClipTableError, match=r"2 ids are those of two files: a.mp4 and a.webm, b.ogv and b.vob.*Rename"
    ):
        ClipTable.load(tmp_path)


def test_sound_and_other_video_beside_a_video_are_left_out_and_told(tmp_path):
    for name in ["a.mp4", "a.wav", "a.gif", "b.MTS", "b.aac", "c.ogg", "d.ogv", "d.mkv"]:
        touch(tmp_path / name)
    table = ClipTable.load(tmp_path)
    assert [Path(clip.path).name for clip in table] == ["a.mp4", "b.MTS", "c.ogg", "d.mkv"]
    said = "left out 4 files that are beside video of the same name: a.gif, a.wav, b.aac, d.ogv"
    assert table.notes == (said,)


def test_a_folder_says_what_it_leaves_out(tmp_path, monkeypatch):
    for name in ["a.mp4", "x.txt", "y.txt", "deep/z.json", "README", "p.jpg", ".hidden.txt", "closed/b.mp4"]:
        touch(tmp_path / name)
    (tmp_path / "loop").symlink_to(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    table = ClipTable.load(tmp_path)
    assert table.ids == ["a"]
    assert table.notes == (
        "left out 5 files that are no media: .txt (2), .jpg (1), .json (1), no suffix (1)",
        "left out 1 folder that is a link, which is not followed: loop",
        "left out 1 folder that is not readable: closed (Permission denied)",
    )
    with pytest.raises(ClipTableError, match="closed: cannot be read: Permission denied"):
        ClipTable.load(tmp_path / "closed")
    with pytest.raises(ClipTableError, match=r"deep: no clips \(left out 1 file that is no media: .json \(1\)\)"):
        ClipTable.load(tmp_path / "deep")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ClipTableError, match="a link that leads nowhere"):
        ClipTable.load(tmp_path / "loop")
    with pytest.raises(ClipTableError, match="no such file or folder"):
        ClipTable.load("x" * 1000)


@pytest.mark.parametrize("suffix", sorted(MEDIA_SUFFIXES))
def test_every_media_suffix_in_any_case(tmp_path, suffix):
    touch(tmp_path / f"a{suffix.upper()}")
    assert ClipTable.load(tmp_path).ids == ["a"]


NOT_MEDIA = """
avif heic heif ico idf j2k jxl mpo psp xl dif ans art asc diz nfo txt vt rt ism mks aqt idx mpl2 pjs sami mcc sbg scc
smi stl sub sup vtt webvtt 302 722 723_1 g728 act al avr bit c2 cdata cgi cif dat g723_1 lvf pvf qcif rco rcv rgb sb
sds sdx sf sw tco ub ul uw v yuv yuv10 v210 sdr2 svs ser imx ifv bitpacked pdv
"""
"""What libav claims and a folder leaves out: images, texts, subtitles, numbers without a header, and suffixes that
mostly mean something else."""

GAMES = """
acm adf adp ads afc aea aix apc apl apv ast avs avs2 avs3 bcstm bfstm binka bmv boa brstm cdg daud dav dcstr dss dtk
fap flm fsb fwse genh ice ipu kux laf mac mca mods msf mtaf mtv musx mvi nsp paf redspark rsd rso sga sdns son spdif
ss2 str svag usm vag vb vpk vqe vql wa way wsd xmd xmv xvag yop
"""


def test_what_libav_can_open_is_media_or_left_out_on_purpose():
    """A new libav brings new suffixes: put each where it belongs."""
    av = pytest.importorskip("av")
    claimed = set()
    for name in av.formats_available:
        with contextlib.suppress(ValueError):
            claimed |= {f".{suffix}" for suffix in av.ContainerFormat(name, "r").extensions}
    known = MEDIA_SUFFIXES | {f".{suffix}" for suffix in (NOT_MEDIA + GAMES).split()}
    assert len(claimed) > 200
    assert claimed - known == set()


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


def test_a_part_of_a_table():
    splits = {"a": "train", "b": "val", "c": "train", "d": "val", "e": "val"}
    clips = [Clip(name, f"/x/{name}.mp4", split=split) for name, split in splits.items()]
    table = ClipTable(clips, dataset="llp", source="t.csv", notes=["one line is odd"])
    val = table.part(split="val")
    assert (val.ids, val.dataset, val.source) == (["b", "d", "e"], "llp", "t.csv")
    assert val.notes == ("one line is odd", "taking 3 of 5 clips: all of split val")
    assert table.part(split="val", limit=2).ids == ["b", "d"]
    assert table.part(split="val", limit=2).notes[1] == "taking 2 of 5 clips: the first 2 of split val"
    assert table.part(limit=1).notes[1] == "taking 1 of 5 clips: the first 1"
    assert table.part() is table
    assert table.part(limit=9) is table
    with pytest.raises(ClipTableError, match=r"t.csv: no clip is of split 'test'; its splits are: train, val"):
        table.part(split="test")
    with pytest.raises(ClipTableError, match=r"videos: no clip is of split 'val'; it names none, LLP's CSVs do. Leave"):
        ClipTable([Clip("a", "/x/a.mp4")], source="videos").part(split="val")


def test_real_llp(shared_dir):
    table = ClipTable.load(shared_dir / "llp", media=shared_dir / "clips")
    splits = [clip.split for clip in table]
    assert [splits.count(name) for name in ("train", "val", "test")] == [10_000, 649, 1_200]
    assert sum(not clip.start_seconds.is_integer() for clip in table) == 5
    assert table[0].path == str(shared_dir / "clips" / "BjCEufrlXm4.mp4")
    assert len(ClipTable.load(shared_dir / "llp" / "AVVP_dataset_full.csv")) == 11_849


SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", SEPARATORS)
def test_only_newlines_end_a_line(tmp_path, separator, end):
    """In every format, other separators are text, and line numbers are those that an editor shows."""
    name = f"a{separator}b"
    tables = {
        "t.csv": ["id,path,labels", f"{name},x.mp4,{name}", "bad"],
        "t.jsonl": ['{"id": 1}', json.dumps({"id": name, "labels": [name]}, ensure_ascii=False), "bad"],
        "AVVP_train.csv": ["filename\tevent_labels", f"BjCEufrlXm4_20_30\tx{separator}y", "bad"],
    }
    if separator < " ":  # JSON has no control characters in texts
        tables["t.jsonl"][1] = json.dumps({"id": name, "labels": [name]})
    for file, lines in tables.items():
        path = tmp_path / file
        path.write_bytes(end.join(lines[:2]).encode())
        clip = ClipTable.load(path)[-1]
        assert clip.labels == ((name,) if file != "AVVP_train.csv" else (f"x{separator}y",))
        path.write_bytes(end.join(lines).encode())
        with pytest.raises(ClipTableError, match="1 line is bad: line 3: "):
            ClipTable.load(path)


def test_csv_fields_in_quotes_hold_newlines_and_lines_are_counted(tmp_path):
    (tmp_path / "t.csv").write_bytes(b'id,path\r\n"two\nlines","x\r\ny.mp4"\n\nb,b.mp4,extra\n"c\nd",e\n"c\nd",f\n')
    with pytest.raises(
        ClipTableError, match=r"2 lines are bad: line 6: expected 2 fields, got 3; line 9: .* in line 7"
    ):
        ClipTable.load(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b'id,path\n"two\nlines","x\r\ny.mp4"\n')
    table = ClipTable.load(tmp_path / "t.csv")
    assert (table.ids, table[0].path) == (["two\nlines"], str(tmp_path / "x\r\ny.mp4"))
    table.to_csv(tmp_path / "again.csv")
    assert ClipTable.load(tmp_path / "again.csv").clips == table.clips


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"id": 0}', Clip("0", "0.mp4")),
        ('{"id": 12, "path": 0, "split": 3}', Clip("12", "0", split="3")),
        ('{"path": 0}', Clip("0", "0")),
        ('{"id": "a", "labels": null, "split": null, "path": null, "start_seconds": null}', Clip("a", "a.mp4")),
        ('{"id": "a", "labels": []}', Clip("a", "a.mp4")),
        ('{"id": "a", "labels": ["x", 3]}', Clip("a", "a.mp4", labels=("x", "3"))),
        ('{"id": 1.5}', "id is 1.5; expected a text or a whole number"),
        ('{"id": true}', "id is True; expected a text or a whole number"),
        ('{"id": false, "path": "x"}', "id is False; expected"),
        ('{"id": ["a"]}', r"id is \['a'\]; expected"),
        ('{"id": {}, "path": "x"}', "id is {}; expected"),
        ('{"path": 1.0}', "path is 1.0; expected"),
        ('{"id": "a", "split": 0.5}', "split is 0.5; expected"),
        ('{"id": "a", "labels": "x"}', "labels is 'x'; expected a list of texts"),
        ('{"id": "a", "labels": [null]}', r"labels is \[None\]; expected a list of texts"),
        ('{"id": "a", "labels": 0}', "labels is 0; expected a list"),
        ('{"id": "a", "start_seconds": true}', "start_seconds is 'True'; expected a number"),
        ('{"id": "a", "start_seconds": 1' + "0" * 400 + "}", "start_seconds is '1000"),
        ('{"id": "a", "end_seconds": NaN}', "end_seconds is 'nan'"),
        ('{"id": "a\\u0000b"}', "a NUL character in the id or the path"),
        ('{"id": ' + "[" * 100_000, "not JSON"),
        ('{"id": null, "path": ""}', "neither an id nor a path"),
    ],
)
def test_every_json_type_in_a_row(tmp_path, row, expected):
    (tmp_path / "t.jsonl").write_text(row + "\n")
    if isinstance(expected, str):
        with pytest.raises(ClipTableError, match=f"line 1: {expected}") as caught:
            ClipTable.load(tmp_path / "t.jsonl")
        assert len(str(caught.value)) < 2_000
    else:
        (clip,) = ClipTable.load(tmp_path / "t.jsonl")
        assert replace(clip, path=Path(clip.path).name) == expected


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é/Zoë が.mp4") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("written", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_table_finds_files_in_another_normal_form(tmp_path, written, there):
    touch(tmp_path / there)
    (tmp_path / "t.csv").write_text(f"path\n{written}\n{Path(written).parent}/gone.mp4\n")
    table = ClipTable.load(tmp_path / "t.csv")
    assert table[0] == Clip(Path(written).stem, str(tmp_path / there))
    assert table[1].path == str(tmp_path / Path(written).parent / "gone.mp4")
    (tmp_path / "id.csv").write_text(f"id\n{Path(written).with_suffix('')}\n")
    (clip,) = ClipTable.load(tmp_path / "id.csv")
    assert (clip.id, clip.path) == (str(Path(written).with_suffix("")), str(tmp_path / there))


def test_names_that_differ_by_normal_form_alone_are_duplicates(tmp_path):
    composed, decomposed = COMPOSED.replace("/", " "), DECOMPOSED.replace("/", " ")
    (tmp_path / "t.csv").write_text(f"id\n{composed}\n{decomposed}\n")
    with pytest.raises(ClipTableError, match=r"line 3: .*e\\u0301.* already in line 2 as '\\xe9.*normal form"):
        ClipTable.load(tmp_path / "t.csv")
    touch(tmp_path / composed)
    touch(tmp_path / decomposed)
    with pytest.raises(ClipTableError, match="1 id is that of two files"):
        ClipTable.load(tmp_path)


def test_llp_takes_video_before_sound(tmp_path):
    (tmp_path / "AVVP_train.csv").write_text("filename\tevent_labels\nBjCEufrlXm4_20_30\tDog\n")
    for suffix in ("3g2", "aac", "mp4"):
        touch(tmp_path / f"BjCEufrlXm4_20_30.{suffix}")
    assert ClipTable.load(tmp_path)[0].path.endswith(".mp4")
    (tmp_path / "AVVP_train.csv").write_text("filename\tevent_labels\nBjCEufrlXm4_\u0661_\u0662\tDog\n")
    with pytest.raises(ClipTableError, match="line 2: expected <11"):
        ClipTable.load(tmp_path)


def test_the_hash_of_tables_is_pinned(tmp_path):
    """Stores hold it; it must never change for a table that is the same."""
    for name in ["b c.mp4", "a'é.webm", "deep/z.MKV", "deep/a.mp4", "deep.mp4", "b c.wav", "notes.txt"]:
        touch(tmp_path / name)
    table = ClipTable.load(tmp_path)
    assert table.ids == ["a'é", "b c", "deep/a", "deep/z", "deep"]
    assert table.hash == "555ef51d0df5dc33da44528cecdf32203ff960b47e04b8a48af77516a24c1539"

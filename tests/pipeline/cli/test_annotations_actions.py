import json

import pytest

WEAK = "filename\tevent_labels\nBjCEufrlXm4_20_30\tSpeech,Dog\n"
DENSE = "filename\tonset\toffset\tevent_labels\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "AVVP_test_pd.csv": WEAK,
        "AVVP_eval_audio.csv": f"{DENSE}BjCEufrlXm4_20_30\t0\t4\tSpeech\nBjCEufrlXm_20_30\t0\t4\tSpeech\n",
        "AVVP_eval_visual.csv": f"{DENSE}BjCEufrlXm4_20_30\t0\t4\tDog\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_report(avvp, folder):
    code, out, err = avvp("annotations", "check", folder)
    assert (code, err) == (0, "")
    assert "test: clips 1, with ground truth 1, without audio 0, audio segments 4" in out
    assert "1 unknown_clip: no clip of the dense splits has this name" in out
    assert "AVVP_eval_audio.csv line 3: BjCEufrlXm_20_30: Speech [0, 4) (perhaps BjCEufrlXm4_20_30)" in out


def test_counts_come_first_and_three_examples_of_each_kind(avvp, folder):
    rows = "".join(f"BjCEufrlXm{letter}_20_30\t0\t4\tSpeech\n" for letter in "abcde")
    (folder / "AVVP_eval_audio.csv").write_text(DENSE + rows)
    short, whole = (avvp("annotations", "check", folder, *more)[1] for more in ((), ("--all",)))
    assert short.index("5 unknown_clip") < short.index("AVVP_eval_audio.csv line 2")
    assert (short.count("AVVP_eval_audio.csv line"), whole.count("AVVP_eval_audio.csv line")) == (3, 5)
    assert "and 2 more: --all" in short
    assert "--all" not in whole


def test_json_and_strict(avvp, folder):
    code, out, _ = avvp("annotations", "check", folder, "--json")
    found = json.loads(out)
    assert (code, found["counts"]) == (0, {"unknown_clip": 1})
    assert found["defects"][0]["lines"] == [3]
    code, out, err = avvp("annotations", "check", folder, "--strict")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "1 defects (1 unknown_clip)" in err


def test_mistakes_are_one_line(avvp, folder, tmp_path):
    (folder / "AVVP_eval_visual.csv").write_text(f"{DENSE}BjCEufrlXm4_20_30\t0\tDog\n")
    code, _, err = avvp("annotations", "check", folder)
    assert (code, err.count("\n")) == (2, 1)
    assert "AVVP_eval_visual.csv: 1 line is bad: line 2: expected 4 fields" in err
    assert avvp("annotations", "check", tmp_path / "none")[0] == 2
    assert "no such dataset description" in avvp("annotations", "check", folder, "--dataset", "x")[2]


def test_files_of_events_are_counted(avvp, tmp_path):
    (tmp_path / "trainSet.txt").write_text("Bark&aaaaaaaaaaa&good&2&5\nBark&aaaaaaaaaaa&good&7&9\nCat&bbb&good&0&0\n")
    code, out, err = avvp("annotations", "check", tmp_path, "--classes", "ave")
    assert (code, err) == (0, "")
    assert "train: clips 3, without event 1, event segments 5, annotated again 1" in out
    code, out, _ = avvp("annotations", "check", tmp_path, "--classes", "ave", "--json")
    assert json.loads(out)["splits"]["train"]["clips"] == 3
    code, _, err = avvp("annotations", "check", tmp_path, "--classes", "ave", "--strict")
    assert (code, err.count("\n")) == (2, 1)
    assert "1 rows are of videos that other rows are of, too" in err


def test_gather_makes_label_files_of_corrected_rows(avvp, tmp_path):
    parsed, out = tmp_path / "parsed", tmp_path / "labels"
    parsed.mkdir()
    (parsed / "BjCEufrlXm4_20_30.audio.tsv").write_text(f"{DENSE}BjCEufrlXm4_20_30\t0\t4\tSpeech\n")
    (parsed / "BjCEufrlXm4_20_30.visual.tsv").write_text(f"{DENSE}BjCEufrlXm4_20_30\t2\t10\tDog\n")
    for modality in ("audio", "visual"):
        (parsed / f"quiet.{modality}.tsv").write_text(DENSE)
    code, said, _ = avvp("annotations", "gather", parsed, out)
    assert (code, f"{out}: 1 clip of test gathered" in said) == (0, True)
    assert "nothing happens in them and these files cannot say that: " in said
    code, said, _ = avvp("annotations", "check", out)
    assert (code, "test: clips 1, with ground truth 1" in said) == (0, True)
    code, _, err = avvp("annotations", "gather", tmp_path, out / "no", "--dataset", "ave")
    assert code == 2
    assert len(err.strip().splitlines()) == 1

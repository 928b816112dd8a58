"""``avvp parse``: which output is there already, and which files are not replaced."""

import json

import pytest
from toy_parser import ToyParser

from pipeline.parsing import parsed_file


@pytest.fixture(autouse=True)
def toy_model(monkeypatch):
    """The toy parser for every ``--model``."""
    monkeypatch.setattr("pipeline.parsing.setup.open_model", lambda name, **how: ToyParser())


@pytest.fixture
def beach(make_clip, tmp_path):
    return make_clip(tmp_path / "films" / "beach.mp4", colour="red", seconds=2)


@pytest.fixture
def parse(avvp, beach):
    """Parse it; gives whether it was, or the reason why not."""

    def run(*options):
        code, out, err = avvp("parse", beach, *options)
        if code == 3:
            return out.splitlines()[-1]
        assert code == 0, err
        return "1 file parsed" in out

    return run


def test_formats_of_other_settings_are_made_anew(parse, beach):
    assert parse("--format", "vtt")
    assert parse("--threshold", "1") is True
    before = beach.with_suffix(".visual.vtt").read_text()
    assert "red" in before
    assert parse("--threshold", "1", "--format", "vtt") is True
    assert beach.with_suffix(".visual.vtt").read_text() != before
    assert parse("--threshold", "1", "--format", "vtt,html") is False
    assert parse("--threshold", "1", "--format", "srt") is True
    for formats in ("vtt", "html", "srt", "json", "html,srt,vtt"):
        assert parse("--threshold", "1", "--format", formats) is False


def annotate(folder, label):
    """Label files in which the whole clip has one class."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val_pd"):
        (folder / f"AVVP_{split}.csv").write_text("filename\tevent_labels\n")
    (folder / "AVVP_test_pd.csv").write_text(f"filename\tevent_labels\nbeach\t{label}\n")
    for modality in ("audio", "visual"):
        rows = f"filename\tonset\toffset\tevent_labels\nbeach\t0\t1\t{label}\n"
        (folder / f"AVVP_eval_{modality}.csv").write_text(rows)
    return folder


def test_output_of_other_classes_is_made_anew(parse, monkeypatch):
    parse()
    monkeypatch.setattr(ToyParser, "classes", ("rot", "green", "loud"))
    assert parse() is True


def test_further_formats_of_the_same_events_decode_nothing(parse, beach, tmp_path, monkeypatch):
    parse("--truth", annotate(tmp_path / "truth", "Dog"))
    page = beach.with_suffix(".html").read_bytes()

    def refuse(*arguments, **how):
        raise AssertionError("decodes again")

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.parsing.parse_files.parse_file", refuse)
        assert parse("--format", "vtt,tsv,eaf,labelstudio,srt,audacity") is True
        later = {path.name: path.read_bytes() for path in beach.parent.iterdir() if path.suffix != ".mp4"}
        assert later["beach.html"] == page
        assert parse("--format", "all", "--truth", tmp_path / "truth") is False
    (beach.parent / "beach.json").unlink()
    assert parse("--format", "all", "--truth", tmp_path / "truth") is True
    for name, content in later.items():
        if not name.endswith((".json", ".eaf")):  # the one of ELAN has a date
            assert beach.with_name(name).read_bytes() == content, name


def test_truth_that_is_given_later_is_drawn(parse, beach, tmp_path):
    truth = annotate(tmp_path / "truth", "Dog")
    page = beach.with_suffix(".html")
    assert parse() is True
    assert ">annotated<" not in page.read_text()
    assert parse("--truth", truth) is True
    assert ">annotated<" in page.read_text()
    assert [parse("--truth", truth), parse(), parse("--format", "json", "--truth", truth)] == [False] * 3
    annotate(truth, "Cat")
    assert parse("--truth", truth) is True


@pytest.mark.parametrize("name", ["beach.json", "beach.html", "beach.eaf"])
def test_files_of_other_programs_are_not_replaced(parse, beach, name):
    theirs = beach.with_name(name)
    theirs.write_text('{"title": "a day at the beach"}')
    assert f"{name}: is not from avvp parse, so it is not replaced. Move it away" in parse("--format", "all")
    assert theirs.read_text() == '{"title": "a day at the beach"}'
    assert not list(beach.parent.glob(".*"))
    assert parse("--format", "all", "--out", beach.parent / "out") is True


def test_files_that_people_corrected_are_not_replaced(parse, beach):
    parse("--format", "all")
    rows = beach.with_suffix(".visual.tsv")
    rows.write_text(rows.read_text().replace("red", "green"))
    assert parse("--format", "all") is False
    assert "beach.visual.tsv: was edited since avvp parse wrote it" in parse("--format", "all", "--threshold", "0.3")
    assert "green" in rows.read_text()
    assert parse("--threshold", "0.3") is True


def test_output_without_its_json_is_made_anew(parse, beach):
    parse("--format", "all")
    beach.with_suffix(".json").unlink()
    assert parse("--format", "all") is True


def test_a_kill_between_two_files_leaves_nothing_that_says_done(parse, beach, monkeypatch):
    parse("--format", "json,vtt,html")
    write, written = parsed_file.write_text, []

    def killed(path, text):
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(parsed_file, "write_text", killed)
    with pytest.raises(AssertionError, match="interrupted"):
        parse("--format", "json,vtt,html", "--threshold", "0.3")
    monkeypatch.setattr(parsed_file, "write_text", write)
    assert written[0] == "beach.html"
    assert parse("--format", "json,vtt,html") is True
    assert json.loads(beach.with_suffix(".json").read_text())["settings"]["thresholds"]["visual"] == [0.5] * 3

"""``avvp download`` where nothing is downloaded: mistakes of the user, and the ledger."""

import pytest

from pipeline.download.clips import parse_rate
from pipeline.download.ledger import Attempt, DownloadLedger

NAME = "GGGGGGGGGGG_2_8"


@pytest.fixture
def csv(tmp_path):
    """An LLP CSV of one clip."""
    path = tmp_path / "AVVP_train.csv"
    path.write_text(f"filename\tevent_labels\n{NAME}\tDog\n")
    return path


@pytest.mark.parametrize(
    ("text", "per_second"), [("5/min", 5 / 60), ("360/hour", 0.1), ("2/s", 2.0), ("12s", 1 / 12), ("none", None)]
)
def test_rates(text, per_second):
    assert parse_rate(text) == (None if per_second is None else pytest.approx(per_second))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--rate", "often"), "expected N/min"),
        (("--retry-failed", "boredom"), "no such reason. There are: all, private"),
        (("--url-template", "http://x/fixed.mp4"), "expected a URL with {id}"),
        (("--url-template", "http://x/{nme}.mp4"), "expected {id} or {name}"),
        (("--cookies", "nowhere.txt"), "no such file"),
    ],
)
def test_mistakes_end_in_one_line(avvp, csv, tmp_path, more, words):
    code, out, err = avvp("download", csv, "--out", tmp_path / "out", *more)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "out").exists()


def test_without_ytdlp_one_line_says_what_to_install(avvp, csv, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = avvp("download", csv, "--out", tmp_path / "out")
    assert code == 2
    assert err == "avvp: yt-dlp is not installed. Install it: pip install 'avvp-pipeline[download]'\n"


def test_a_table_without_spans_is_refused(avvp, tmp_path):
    (tmp_path / "own.csv").write_text("id\nabc\n")
    code, _, err = avvp("download", tmp_path / "own.csv", "--out", tmp_path / "out")
    assert code == 2
    assert "has no end_seconds" in err


def test_a_torn_line_of_the_ledger_counts_as_no_attempt(tmp_path):
    (tmp_path / "download.jsonl").write_text('{"id": "a", "status": "private", "attempt": 2}\n{"id": "b", "sta')
    ledger = DownloadLedger(tmp_path)
    assert set(ledger.last) == {"a"}
    ledger.append(Attempt("b", "ok"))
    assert {name: attempt.status for name, attempt in DownloadLedger(tmp_path).last.items()} == {
        "a": "private",
        "b": "ok",
    }
    assert DownloadLedger(tmp_path).next_attempt("a") == 3

"""A zoo of media files, each compared with decoding every packet in order; and mutated files, which must end well.

The fast part runs always; ``pytest -m zoo tests/pipeline/decode`` runs all of it (171 files, 1,000 mutants).
"""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zoo

from extractors.views import AudioView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest, open_buffer
from pipeline.decode.ffmpeg_binary import ffmpeg_path
from pipeline.decode.frames import CanvasView
from pipeline.extraction.workers import DecodePool
from storage.schema import Status

SOUND = AudioView(zoo.RATE)
KEEP = CanvasView(8, short_side=128, size=128)
SPANS = ((2.3, 2), (6.1, 2), (10.6, 1))
CASES = [pytest.param(case, id=case.name, marks=() if case.fast else pytest.mark.zoo) for case in zoo.cases()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


def decode(path, **options):
    request = DecodeRequest("clip", str(path), audio_views=(SOUND,), keep=(KEEP,), **options)
    buffer = np.zeros(request.shape.nbytes, np.uint8)
    return open_buffer(request, buffer, decode_clip(request, buffer))


def pictures_of(decoded):
    height, width = int(decoded.kept[KEEP].heights[0]), int(decoded.kept[KEEP].widths[0])
    return decoded.kept[KEEP].pixels[:, :height, :width]


def on_screen(truth, start, seconds):
    """What decoding in order shows at each time of the grid: indices, and which lie within the file."""
    times = start + np.arange(8 * seconds) / 8
    index = np.searchsorted(truth.times, times + 1e-6, side="right") - 1
    return np.clip(index, 0, None), times < truth.end - 1e-6


def assert_same_pictures(decoded, truth, start, seconds, case):
    index, valid = on_screen(truth, start, seconds)
    np.testing.assert_array_equal(decoded.kept[KEEP].valid, valid)
    expected = truth.pictures[index]
    if case.name.startswith("rotated"):
        expected = expected.transpose(0, 2, 1, 3)[:, ::-1]
    np.testing.assert_array_equal(pictures_of(decoded)[valid], expected[valid])


def assert_same_sound(decoded, truth, start, seconds):
    """Tones begin within 2 ms of where they do in order; those at the very edges of a span may be cut."""
    expected = truth.onsets - start
    got = zoo.onsets(decoded.waveforms[SOUND].samples, zoo.RATE)

    def all_near(some, others):
        inner = some[(some > 0.12) & (some < seconds - 0.12)]
        return all(np.abs(others - onset).min(initial=9) < 0.002 for onset in inner)

    assert all_near(expected, got), (got, expected)
    assert all_near(got, expected), (got, expected)


@pytest.mark.parametrize("case", CASES)
def test_every_picture_and_sound_is_where_decoding_in_order_puts_it(case, folder):
    path = zoo.make(case, folder, ffmpeg_path())
    truth = zoo.truth_of(path)
    for start, seconds in ((0.0, zoo.SECONDS), *SPANS):
        span = {} if start == 0 else {"start_seconds": start, "end_seconds": start + seconds}
        decoded = decode(path, clip_seconds=seconds, **span)
        assert decoded.report.status == (Status.OK if case.audio else Status.PARTIAL), decoded.report
        assert "damaged" not in decoded.report.reason
        assert_same_pictures(decoded, truth, start, seconds, case)
        if case.audio:
            assert_same_sound(decoded, truth, start, seconds)
    published = decode(path, clip_seconds=zoo.SECONDS, sampling="published")
    dump = dumped(path, *pictures_of(published).shape[1:])
    chosen = np.round(np.linspace(0, len(dump) - 1, 8 * zoo.SECONDS)).astype(int)
    np.testing.assert_array_equal(zoo.read_numbers(pictures_of(published)), zoo.read_numbers(dump)[chosen])
    path.unlink()


def dumped(path, height, width, channels):
    """The pictures of ``ffmpeg -r 8``, as the papers' scripts took them."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-r", "8", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, channels)


def test_the_zoo_has_what_it_should():
    names = [case.name for case in zoo.cases()]
    assert len(set(names)) == len(names) >= 120
    assert 15 <= sum(case.fast for case in zoo.cases()) <= 40


@pytest.mark.parametrize("count", [pytest.param(48, id="48"), pytest.param(1000, id="1000", marks=pytest.mark.zoo)])
def test_mutated_files_end_with_a_status_within_their_deadline(count, folder, capsys):
    bases = [zoo.make(case, folder, ffmpeg_path()) for case in zoo.cases() if case.fast]
    contents = [path.read_bytes() for path in bases]
    deadline = 30.0

    def requests():
        for seed in range(count):
            base = bases[seed % len(bases)]
            path = folder / f"mutant_{seed}{base.suffix}"
            path.write_bytes(zoo.mutant(contents[seed % len(bases)], seed))
            span = {"start_seconds": 10.5, "end_seconds": 12.5} if seed % 3 == 2 else {}
            yield DecodeRequest(str(seed), str(path), clip_seconds=2, audio_views=(SOUND,), keep=(KEEP,), **span)

    ended, slowest = {}, 0.0
    shape = DecodeRequest("", "", clip_seconds=2, audio_views=(SOUND,), keep=(KEEP,)).shape
    with DecodePool(shape, workers=2, deadline_seconds=deadline) as pool:
        for decoded in pool.decode(requests()):
            report = decoded.report
            ended[decoded.request.clip_id] = report
            slowest = max(slowest, report.seconds)
            decoded.release()
            Path(decoded.request.path).unlink()
    assert set(ended) == {str(seed) for seed in range(count)}
    assert slowest < deadline
    assert all(report.reason or report.status == Status.OK for report in ended.values())
    assert not [report.reason for report in ended.values() if "0x" in report.reason]
    internal = Counter(report.reason for report in ended.values() if "internal error" in report.reason)
    assert not internal
    with capsys.disabled():
        counts = Counter(report.status.label for report in ended.values())
        print(f"\n{count} mutants: {dict(counts)}, the slowest {slowest:.1f} s")

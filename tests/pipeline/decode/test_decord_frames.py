"""decord reads where it is proven right, and nothing else."""

import numpy as np
import pytest

from extractors.views import FrameView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest, open_buffer
from storage.schema import Status

VIEW = FrameView(8, 32, "squash")
OPEN = ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "25")


def decode(path, **options):
    request = DecodeRequest("clip", str(path), clip_seconds=2, frame_views=(VIEW,), **options)
    buffer = np.zeros(request.shape.nbytes, np.uint8)
    return open_buffer(request, buffer, decode_clip(request, buffer))


@pytest.mark.parametrize("decoder", ["auto", "decord"])
@pytest.mark.parametrize("sampling", ["uniform", "published"])
def test_a_closed_file_gives_the_same_pictures(clip, decoder, sampling):
    path = clip("plain.mp4", 2)
    ours, theirs = decode(path, sampling=sampling), decode(path, sampling=sampling, decoder=decoder)
    assert ours.report.decoder.startswith("PyAV ")
    assert theirs.report.decoder.startswith("decord ")
    np.testing.assert_array_equal(ours.frames[VIEW].pixels, theirs.frames[VIEW].pixels)
    np.testing.assert_array_equal(ours.frames[VIEW].valid, theirs.frames[VIEW].valid)


def files(clip, ffmpeg, media_dir):
    yield "lead their key frame", clip("open.mp4", 3, *OPEN, "-pix_fmt", "yuv420p")
    cut = media_dir / "cut_for_decord.mp4"
    ffmpeg("-ss", "1.3", "-i", clip("long_gop.mp4", 4, "-g", "100"), "-c", "copy", str(cut))
    yield "decoded but not shown", cut
    two = media_dir / "two_for_decord.mkv"
    ffmpeg("-i", clip("plain.mp4", 2), "-map", "0:v", "-map", "0:v", "-c", "copy", str(two))
    yield "several video streams", two
    mirrored = media_dir / "mirrored_for_decord.mp4"
    ffmpeg("-display_hflip", "-i", clip("plain.mp4", 2), "-c", "copy", str(mirrored))
    yield "mirrored pictures", mirrored
    palette = media_dir / "palette.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2", "-c:v", "rawvideo", "-pix_fmt", "pal8", str(palette))
    yield "a palette", palette
    late = media_dir / "unix_time.mkv"
    ffmpeg("-i", clip("plain.mp4", 2), "-c", "copy", "-output_ts_offset", "1700000000", str(late))
    yield "a huge start time", late


def test_what_it_is_not_proven_on_is_refused_or_read_by_pyav(clip, ffmpeg, media_dir):
    for words, path in files(clip, ffmpeg, media_dir):
        refused = decode(path, decoder="decord").report
        assert not refused.has_video, words
        assert words in refused.reason
        assert "Use --decoder auto or pyav" in refused.reason
        chosen, plain = decode(path, decoder="auto"), decode(path)
        assert chosen.report.status in (Status.OK, Status.PARTIAL)
        assert chosen.report.decoder.startswith("PyAV ")
        np.testing.assert_array_equal(chosen.frames[VIEW].pixels, plain.frames[VIEW].pixels)

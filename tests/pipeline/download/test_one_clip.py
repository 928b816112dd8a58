"""What yt-dlp is made to do where picture and sound are two addresses, as on YouTube, and where it cannot cut."""

import pytest
from video_server import FLASH, FRAME, look_at, make_video, serve

yt_dlp = pytest.importorskip("yt_dlp")
from pipeline.download.one_clip import DownloadJob, fetch_clip  # noqa: E402


@pytest.fixture(scope="module")
def server(ffmpeg, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    vp9 = ("-c:v", "libvpx-vp9", "-g", "999", "-deadline", "realtime", "-cpu-used", "8")
    picture = make_video(ffmpeg, folder / "picture.webm", sound=False, codecs=vp9)
    sound = make_video(ffmpeg, folder / "sound.m4a", picture=False)
    with serve({"picture": picture, "sound": sound}) as own:
        yield own


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Fetch a span of a page with these formats."""

    def run(formats, start, end, duration=None):
        page = {"id": "x", "title": "x", "extractor": "site", "formats": formats, "duration": duration}
        extract = yt_dlp.YoutubeDL.process_ie_result
        monkeypatch.setattr(yt_dlp.YoutubeDL, "extract_info", lambda self, url: extract(self, dict(page)))
        work, log = tmp_path / "work", tmp_path / "log"
        work.mkdir()
        log.touch()
        return fetch_clip(DownloadJob("x", "https://site/x", start, end, work), log)

    return run


def parts(server):
    return [
        {"format_id": "v", "url": server.url.format(id="picture"), "ext": "webm", "vcodec": "vp9", "acodec": "none",
         "height": 64},
        {"format_id": "a", "url": server.url.format(id="sound"), "ext": "m4a", "acodec": "mp4a", "vcodec": "none"},
    ]  # fmt: skip


@pytest.mark.parametrize(("start", "end"), [(0, 8), (5.3, 7.8)])
def test_picture_and_sound_from_two_addresses_stay_together(server, fetch, start, end):
    outcome = fetch(parts(server), start, end, duration=12)
    assert (outcome.status, outcome.reason) == ("ok", "")
    seen = look_at(outcome.file)
    assert seen["video_seconds"] == pytest.approx(end - start, abs=FRAME)
    assert seen["audio_seconds"] == pytest.approx(end - start, abs=FRAME)
    assert seen["flash"] == pytest.approx(FLASH - start, abs=FRAME)
    assert seen["beep"] == pytest.approx(FLASH - start, abs=FRAME)


def test_a_span_behind_the_end_is_not_downloaded(server, fetch):
    server.asked.clear()
    outcome = fetch(parts(server), 20, 30, duration=12)
    assert (outcome.status, outcome.reason) == ("too_short", "the video ends at 12 s, the span starts at 20 s")
    assert server.asked == []


def test_what_yt_dlp_cannot_cut_comes_whole_and_is_cut_here(server, fetch, monkeypatch):
    monkeypatch.setattr("yt_dlp.downloader.external.FFmpegFD.SUPPORTED_PROTOCOLS", ())
    outcome = fetch(parts(server), 5.3, 7.8, duration=12)
    assert (outcome.status, outcome.file.name) == ("ok", "cut.mp4")
    seen = look_at(outcome.file)
    assert seen["video_seconds"] == pytest.approx(2.5, abs=FRAME)
    assert seen["flash"] == pytest.approx(seen["beep"], abs=FRAME / 2)


def test_a_clip_that_ends_before_its_video_does_is_broken(server, fetch):
    outcome = fetch(parts(server), 6, 16, duration=60)
    assert (outcome.status, outcome.reason) == ("broken", "6.00 of 10 s can be read")

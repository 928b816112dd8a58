"""Reading pictures and sound of a file through the decoder's own parts."""

import pytest

from pipeline.decode.audio import SoundReader
from pipeline.decode.decord_frames import read_with_decord, why_not_decord
from pipeline.decode.media import MAX_PIXELS
from pipeline.decode.pictures import PictureReader
from pipeline.decode.reading import read_streams
from pipeline.decode.timeline import read_timeline


@pytest.fixture(scope="session")
def read_pictures():
    """Some pictures of a file by their index. ``(path, indices, seek_seconds, decoder)``."""

    def read(path, indices, *, seek_seconds=0.0, decoder="pyav"):
        timeline = read_timeline(str(path))
        track, found = timeline.video, {}
        if decoder == "decord":
            assert why_not_decord(timeline, track) == ""
            assert read_with_decord(timeline, track, list(indices), found.__setitem__)
            return found

        def readers(opened):
            stream = opened.stream(track.stream_index)
            return {
                track.stream_index: PictureReader(
                    stream, track, list(indices), found.__setitem__, opened.words,
                    first=opened.entry.first_frame, max_pixels=MAX_PIXELS,
                )
            }  # fmt: skip

        read_streams(timeline, readers, seek_seconds=seek_seconds)
        return found

    return read


@pytest.fixture(scope="session")
def read_sound():
    """The sound of a file. ``(path, views, options of SoundReader)``."""

    def read(path, views, **options):
        timeline = read_timeline(str(path))
        options = {"clip_seconds": 4, **options}
        options.setdefault("span_seconds", float(options["clip_seconds"]))
        made = []

        def readers(opened):
            track = timeline.audio
            made.append(SoundReader(opened.stream(track.stream_index), track, views, opened.words, **options))
            return {track.stream_index: made[-1]}

        read_streams(timeline, readers, seek_seconds=options.get("start_seconds", 0.0))
        return made[-1].sound()

    return read

"""yt-dlp's real messages, as its issue tracker and source show them, and the reasons they are filed under."""

import pytest

from pipeline.download.reasons import REASONS, classify, plain_words

HINT = "Use --cookies-from-browser or --cookies for the authentication. See  https://example.org/FAQ  for how to"
MESSAGES = [
    ("private", "[youtube] lwUI5-fWv4U: Private video. Sign in if you've been granted access to this video. " + HINT),
    ("private", "[youtube] a07iwuDWhys: Video unavailable. This video is private"),
    ("removed", "[youtube] AAAAAAAAAAA: Video unavailable. This video has been removed by the uploader"),
    (
        "removed",
        "[youtube] AAAAAAAAAAA: Video unavailable. This video is no longer available because the YouTube account "
        "associated with this video has been terminated.",
    ),
    ("removed", "[youtube] A-AAAAAAAAA: This video has been removed for violating YouTube's Terms of Service"),
    (
        "removed",
        "[youtube] AAAAAAAAAAA: Video unavailable. This video is no longer available due to a copyright claim by X",
    ),
    ("sign_in", "[youtube] AAAAAAAAAAA: Sign in to confirm you’re not a bot. " + HINT),
    ("sign_in", "[youtube] AAAAAAAAAAA: Please sign in. " + HINT),
    (
        "region",
        "[youtube] ltcd1B8WyTM: Video unavailable. The uploader has not made this video available in your country",
    ),
    (
        "region",
        "[youtube] AAAAAAAAAAA: Video unavailable. This video contains content from SME, who has blocked it in your "
        "country on copyright grounds",
    ),
    ("region", "This video is not available from your location due to geo restriction"),
    (
        "age",
        "[youtube] AAAAAAAAAAA: Sign in to confirm your age. This video may be inappropriate for some users. " + HINT,
    ),
    ("members", "[youtube] AAAAAAAAAAA: Join this channel to get access to members-only content like this video"),
    ("live", "[youtube] AAAAAAAAAAA: Premieres in 3 hours"),
    ("live", "[youtube] AAAAAAAAAAA: This live event will begin in a few moments."),
    ("live", "[youtube] AAAAAAAAAAA: This live stream recording is not available."),
    ("drm", "[youtube] AAAAAAAAAAA: This video is DRM protected"),
    (
        "rate_limited",
        "[youtube] AAAAAAAAAAA: This content isn't available, try again later. The current session has been "
        "rate-limited by YouTube for up to an hour. It is recommended to use `-t sleep`",
    ),
    ("rate_limited", "[youtube] AAAAAAAAAAA: Unable to download API page: HTTP Error 429: Too Many Requests"),
    ("unavailable", "[youtube] AAAAAAAAAAA: Video unavailable"),
    ("unavailable", "[youtube] AAAAAAAAAAA: Requested format is not available. Use --list-formats for a list"),
    ("http_error", "[generic] Unable to download webpage: HTTP Error 404: Not Found (caused by <HTTPError 404>)"),
    ("http_error", "unable to download video data: HTTP Error 403: Forbidden"),
    ("timeout", "[youtube] AAAAAAAAAAA: Unable to download API page: The read operation timed out"),
    ("network", "Unable to download webpage: Failed to resolve 'www.youtube.com' ([Errno -3] Temporary failure)"),
    ("network", "Unable to download webpage: <urllib3 …>: [Errno 111] Connection refused"),
    ("broken", "ffmpeg exited with code 183; Error opening input: Invalid data found when processing input"),
    ("disk", "unable to open for writing: [Errno 28] No space left on device"),
    ("error", "something that nobody has seen before"),
]


@pytest.mark.parametrize(("reason", "message"), MESSAGES)
def test_classifies_what_ytdlp_says(reason, message):
    assert classify(plain_words(f"\x1b[0;31mERROR:\x1b[0m {message}")) == reason
    assert reason in REASONS


def test_equal_reasons_have_equal_words():
    one = plain_words("ERROR: [youtube] lwUI5-fWv4U: Video unavailable")
    assert one == plain_words("\x1b[0;31mERROR:\x1b[0m [youtube] A-AAAAAA_AA: Video unavailable") == "Video unavailable"


def test_words_end_before_requests_for_bug_reports():
    words = plain_words("ERROR: [generic] x: Unable to extract (caused by KeyError('a')); please report this issue on")
    assert words == "Unable to extract"

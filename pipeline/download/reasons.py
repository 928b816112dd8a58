"""Classifies yt-dlp's messages into short reasons, so that failures can be counted and retried."""

from __future__ import annotations

import re

OK = "ok"
REASONS = {
    "private": "the owner made the video private",
    "removed": "the video or its account is gone, or a claim took it down",
    "sign_in": "the site wants a signed-in user or proof of not being a bot: give --cookies",
    "region": "the video is blocked in the country of this machine",
    "age": "the video is for adults: give --cookies of an account that may see it",
    "members": "only paying members may see it",
    "live": "a live stream or premiere without a recording",
    "drm": "the video is encrypted",
    "unavailable": "the site says no more than that it is unavailable",
    "rate_limited": "the site refuses this machine for a while; tried again by the next run",
    "timeout": "no answer in time",
    "http_error": "the server answered with an error",
    "network": "the server could not be reached",
    "too_short": "less than a second of the span is in the video",
    "broken": "what came cannot be decoded, or is cut off",
    "disk": "this machine's disk is full or closed to us",
    "bad_id": "the clip's id cannot be the name of a file",
    "error": "anything else, in yt-dlp's words",
}
"""Every reason a clip can fail with, and what it means."""

WALLS = frozenset({"rate_limited", "sign_in", "network"})
"""Reasons that tell of this machine rather than of the clip, when they come one after the other."""

_RULES = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("disk", r"no space left|disk quota|read-only file system|permission denied"),
        ("rate_limited", r"rate-limited|http error 429|too many requests"),
        ("age", r"confirm your age|age.restricted|inappropriate for some users"),
        ("region", r"in your (country|region|location)|from your (country|location)|geo.?restrict"),
        ("private", r"private video|video is private|set to private"),
        ("removed", r"removed|account .*(terminated|closed)|copyright|no longer available|not exist|deleted"),
        ("members", r"members.only|join this channel|channel's members|requires payment|premium members"),
        ("sign_in", r"not a bot|sign in|log ?in\b|registered users|requires authentication|captcha|--cookies"),
        ("live", r"premieres? in|premiere will|live event will|live stream recording|is offline|is upcoming"),
        ("drm", r"\bDRM\b"),
        ("timeout", r"timed? ?out"),
        ("http_error", r"http error \d|server returned [45]"),
        ("network", r"connection (refused|reset|aborted)|resolv(e|ing)|name resolution|name or service not known"
                    r"|unreachable|no route to host|\bssl\b|remote end closed|unable to connect"),
        ("broken", r"invalid data|moov atom|ffmpeg exited|partial file|end of file|file is empty|any data blocks"),
        ("unavailable", r"unavailable|not available|unsupported url|no video formats"),
    )
)  # fmt: skip
"""In the order in which they are asked: ``Private video. Sign in if …`` is private, not a sign-in wall."""
_NOISE = re.compile(
    r"\x1b\[[0-9;]*m"  # colours
    r"|^ERROR: "
    r"|^\[[\w:+.-]+\] (?:[^\s:]+: )?"  # the extractor and the video's id, which would split equal reasons
    r"|; please report this issue on .*"
    r"|\(caused by .*",
    re.DOTALL,
)


def classify(words: str) -> str:
    """The name of the reason behind yt-dlp's or ffmpeg's words; ``error`` where no rule knows them."""
    return next((name for name, pattern in _RULES if pattern.search(words)), "error")


def plain_words(message: str) -> str:
    """yt-dlp's words in one line, without colours, the video's id and requests for bug reports."""
    previous, text = "", message.strip()
    while text != previous:
        previous, text = text, _NOISE.sub("", text).strip()
    return " ".join(text.split())

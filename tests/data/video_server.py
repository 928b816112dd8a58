"""A video that flashes and beeps, a server for it on loopback, and what is seen in what became of it."""

import http.server
import threading
import time
from contextlib import contextmanager
from typing import ClassVar

import av
import numpy as np

FRAME = 1 / 25
FLASH = 6.0


def make_video(ffmpeg, file, *, picture=True, sound=True, codecs=("-c:v", "libx264", "-g", "999")):
    """12 s with one key frame; from 6.0 to 6.2 s it flashes and beeps."""
    at = f"between(t,{FLASH},{FLASH + 0.2})"
    black = f"color=black:s=96x64:r=25:d=12,drawbox=c=white:t=fill:enable='{at}'"
    tone = f"aevalsrc='if({at},0.8*sin(2*PI*1000*t),0)':s=44100:d=12"
    inputs = (["-f", "lavfi", "-i", black] if picture else []) + (["-f", "lavfi", "-i", tone] if sound else [])
    ffmpeg(*inputs, *(codecs if picture else ()), "-pix_fmt", "yuv420p", "-movflags", "+faststart", file)
    return file.read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files by name, with ranges, as video hosts do."""

    files: ClassVar = {}
    asked: ClassVar = []
    slow: ClassVar = ()
    slow_seconds = 0.0
    trickle = False

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        name = self.path.strip("/").removesuffix(".mp4")
        type(self).asked.append((self.command, name, time.monotonic()))
        if name in self.slow:
            time.sleep(self.slow_seconds)
        data = self.files.get(name)
        if data is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "GET":
            self.send(data[start:])

    def send(self, data):
        step = 2000 if self.trickle else len(data)
        try:
            for at in range(0, len(data), max(step, 1)):
                self.wfile.write(data[at : at + step])
                time.sleep(0.5 if self.trickle else 0)
        except OSError:
            pass


@contextmanager
def serve(files, slow=()):
    """A server on a free port; gives its handler class, with ``url``."""
    own = type("Own", (Handler,), {"files": dict(files), "asked": [], "slow": slow})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), own)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own.url = f"http://127.0.0.1:{server.server_port}/{{id}}.mp4"
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()


def look_at(path):
    """Length of each stream in seconds, and when it flashes and beeps."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(stream)]
        rate = stream.rate
    samples = np.concatenate([part for _, part in parts])
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return {
        "video_seconds": frames[-1][0] + FRAME,
        "audio_seconds": parts[0][0] + len(samples) / rate,
        "flash": next(at for at, light in frames if light > 128),
        "beep": parts[0][0] + loud[0] / rate,
    }

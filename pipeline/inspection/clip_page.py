"""Renders one clip across all arrays of a store as a self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inspection.arrays import ClipView, clip_views
from storage.clips import Clip
from storage.store import FeatureStore

_THUMBNAILS = 10
_THUMBNAIL_HEIGHT = 96
_WAVE_COLUMNS = 800
_WAVE_HEIGHT = 80
_HEAT_ROWS = 160
_COLOURS = np.array(
    [[13, 8, 35], [66, 16, 101], [140, 41, 99], [208, 70, 62], [246, 137, 25], [250, 214, 84], [252, 255, 220]],
    dtype=np.float64,
)
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:56rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem;margin:0 0 .2rem}h2{font-size:1.05rem;margin:1.8rem 0 .4rem}
.facts{color:#555;margin:0}figure{margin:0}img,svg{width:100%;height:auto;display:block}
.strip{display:grid;grid-template-columns:repeat(10,1fr);gap:3px}.strip img{border-radius:2px}
.heat img{image-rendering:pixelated;height:160px}
.axis{display:flex;justify-content:space-between;color:#777;font-size:12px}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;padding:.25rem .6rem .25rem 0;
border-bottom:1px solid #e4e4e4}td.n{font-variant-numeric:tabular-nums}.bad{color:#a4161a}
"""


@dataclass(frozen=True)
class ClipMedia:
    """What a clip looks and sounds like, from its source file.

    Attributes:
        pictures: seconds and ``[height, width, 3]`` uint8 RGB, in order.
        samples: ``[samples]`` float32; ``None`` without sound.
        sample_rate_hz: of ``samples``.
        problem: why there are no pictures or no sound.
    """

    pictures: tuple[tuple[float, NDArray[np.uint8]], ...] = ()
    samples: NDArray[np.float32] | None = None
    sample_rate_hz: int = 0
    problem: str = ""


def lacks(store: FeatureStore) -> tuple[str, ...]:
    """What a page would show if it had been kept: names for ``--keep``."""
    there = {"frames": bool(_pictures_of(store)), "waveform": bool(_sound_of(store))}
    return tuple(name for name, found in there.items() if not found)


def _pictures_of(store: FeatureStore) -> str:
    """The kept array that pictures are shown from; empty where there is none."""
    return next((name for name in ("frames", "thumbnails") if name in store.decoded), "")


def _sound_of(store: FeatureStore) -> str:
    """The kept array that the waveform is drawn from; empty where there is none."""
    waveforms = [name for name in store.decoded if name.startswith("waveform_")]
    return next(iter(waveforms), "envelope" if "envelope" in store.decoded else "")


def clip_page(store: FeatureStore, clip_id: str, *, media: ClipMedia | None = None) -> str:
    """The page of one clip.

    Args:
        store: to read.
        clip_id: of the clip.
        media: pictures and sound of the clip, for what the store does not keep.

    Raises:
        InvalidInput: If the store has no such clip.
    """
    row = store.row_of(clip_id)
    clip, views = store.clips[row], clip_views(store, clip_id)
    parts = [_head(store, clip), _table(views)]
    parts += [_frames(store, row, media), _waveform(store, row, media), _missing(store, media), _logmel(store, row)]
    parts += [_features(store, view, row) for view in views if view.valid_steps]
    title = html.escape(f"{clip_id} in {store.url}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def write_clip_page(store: FeatureStore, clip_id: str, target: Path, *, media: ClipMedia | None = None) -> None:
    """Write :func:`clip_page` to a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(clip_page(store, clip_id, media=media), encoding="utf-8")


def _head(store: FeatureStore, clip: Clip) -> str:
    end = "end" if clip.end_seconds is None else f"{clip.end_seconds:g}"
    labels = ", ".join(clip.labels) or "none given"
    return (
        f"<h1>{html.escape(clip.id)}</h1><p class=facts>{html.escape(clip.path)} · {clip.start_seconds:g} to {end} s · "
        f"split {html.escape(clip.split or '-')} · labels: {html.escape(labels)} · store {html.escape(store.url)}</p>"
    )


def _table(views: list[ClipView]) -> str:
    rows = []
    for view in views:
        numbers = f"<td class=n>{view.mean:.4g}<td class=n>{view.norm:.4g}" if view.valid_steps else "<td>-<td>-"
        bad = "" if view.valid_steps else " class=bad"
        rows.append(
            f"<tr><td>{html.escape(view.array)}<td{bad}>{view.status}<td class=n>{view.valid_steps} of {view.steps}"
            f"{numbers}<td>{html.escape(view.reason)}"
        )
    head = "<tr><th>array<th>status<th>valid steps<th>mean<th>norm of a step<th>reason"
    return f"<h2>Arrays</h2><table>{head}{''.join(rows)}</table>"


def _missing(store: FeatureStore, media: ClipMedia | None) -> str:
    """What cannot be shown, why, and what to do."""
    shown = media or ClipMedia()
    there = {"frames": bool(shown.pictures), "waveform": shown.samples is not None}
    absent = [name for name in lacks(store) if not there[name]]
    if not absent:
        return ""
    why = f" Its file: {html.escape(media.problem)}." if media is not None else ""
    return (
        f"<p class=facts>The store keeps no {' and no '.join(absent)} of this clip.{why} To have them here, add "
        f"<code>--keep {','.join(absent)}</code> to the same <code>avvp extract</code>.</p>"
    )


def _frames(store: FeatureStore, row: int, media: ClipMedia | None) -> str:
    pictures, source = _kept_pictures(store, row), ""
    if "frames" in lacks(store) and media is not None:
        pictures, source = list(media.pictures), "<p class=facts>Decoded from the source file</p>"
    images = []
    for seconds, pixels in pictures:
        title = f"{seconds:.2f} s"
        picture = _png(pixels, height=_THUMBNAIL_HEIGHT)
        images.append(f"<img src='{picture}' title='{title}' alt='frame at {title}'>")
    return f"<h2>Frames</h2>{source}<div class=strip>{''.join(images)}</div>{_axis(store)}" if images else ""


def _kept_pictures(store: FeatureStore, row: int) -> list[tuple[float, NDArray[np.uint8]]]:
    """Some of the frames that the store keeps of a clip, each with its seconds."""
    name = _pictures_of(store)
    if not name or not store.committed(f"decoded.{name}")[row]:
        return []
    valid = store.kept(name, range(row, row + 1), "valid")[0]
    if not valid.any():
        return []
    sizes = store.kept(name, range(row, row + 1), "size")[0]
    canvases = store.kept(name, range(row, row + 1))[0]
    rate = int(store.decoded_spec(name).facts["frames_per_second"])
    places = np.flatnonzero(valid)
    chosen = places[np.unique(np.linspace(0, len(places) - 1, min(_THUMBNAILS, len(places))).round().astype(int))]
    return [(place / rate, canvases[place][: sizes[place][0], : sizes[place][1]]) for place in chosen]


def _kept_sound(store: FeatureStore, row: int) -> tuple[NDArray[np.float32] | None, int]:
    """What the store keeps of a clip's sound, ``[samples]`` or an envelope ``[steps, 2]``, and the samples' rate."""
    name = _sound_of(store)
    if not name or not store.committed(f"decoded.{name}")[row]:
        return None, 0
    valid = "steps" if name == "envelope" else "samples"
    if not int(store.kept(name, range(row, row + 1), valid)[0]):
        return None, 0
    rate = int(store.decoded_spec(name).facts["sample_rate_hz"])
    return store.kept(name, range(row, row + 1))[0], rate


def _waveform(store: FeatureStore, row: int, media: ClipMedia | None) -> str:
    samples, rate = _kept_sound(store, row)
    source = ""
    if "waveform" in lacks(store) and media is not None:
        samples, rate, source = media.samples, media.sample_rate_hz, ", decoded from the source file"
    if samples is None or not len(samples):
        return ""
    columns = np.array_split(samples, min(_WAVE_COLUMNS, len(samples)))
    middle = _WAVE_HEIGHT / 2
    peak = max(float(np.abs(samples).max()), 1e-6)
    lines = "".join(
        f"M{at} {middle - middle * float(part.max()) / peak:.1f}V{middle - middle * float(part.min()) / peak:.1f}"
        for at, part in enumerate(columns)
    )
    svg = (
        f"<svg viewBox='0 0 {len(columns)} {_WAVE_HEIGHT}' role=img aria-label='waveform'>"
        f"<path d='{lines}' stroke='#31688e' fill=none /></svg>"
    )
    return f"<h2>Waveform</h2><p class=facts>{rate} Hz, peak {peak:.3f}{source}</p>{svg}{_axis(store)}"


def _logmel(store: FeatureStore, row: int) -> str:
    if "logmel" not in store.decoded or not store.committed("decoded.logmel")[row]:
        return ""
    if not store.kept("logmel", range(row, row + 1), "valid")[0].any():
        return ""
    mel = store.kept("logmel", range(row, row + 1))[0]
    picture = _heat(mel.reshape(-1, mel.shape[-1]).T[::-1])
    return f"<h2>Log-mel (VGGish's)</h2><figure class=heat><img src='{picture}' alt='log-mel'></figure>{_axis(store)}"


def _features(store: FeatureStore, view: ClipView, row: int) -> str:
    values, valid = store.read(view.array, [row])[0], store.valid(view.array, [row])[0]
    block = np.where(valid[:, None], values, np.nan).astype(np.float64).T
    # Neighbouring dimensions share a line of the picture where there are more than fit; each line is their mean.
    lines = np.stack([part.mean(axis=0) for part in np.array_split(block, min(_HEAT_ROWS, len(block)))])
    spec = store.spec(view.array)
    each = f", {len(block) / len(lines):.0f} dimensions a line" if len(lines) < len(block) else ""
    zeros = 100 * float((values[valid] == 0).mean())
    origin = store.provenance(view.array)
    made = f"weights {origin.weights[:18]}, sampling {origin.sampling}"
    facts = (
        f"{spec.time_grid} × {spec.dim} values{each}; {zeros:.1f} % zeros; {html.escape(f'{spec.description}; {made}')}"
    )
    axis = _axis(store) if spec.step_seconds else ""
    return (
        f"<h2>{html.escape(view.array)}</h2><p class=facts>{facts}</p>"
        f"<figure class=heat><img src='{_heat(lines)}' alt='heat map of {html.escape(view.array)}'></figure>{axis}"
    )


def _axis(store: FeatureStore) -> str:
    seconds = store.info.clip_seconds
    return f"<div class=axis><span>0 s</span><span>{seconds / 2:g} s</span><span>{seconds} s</span></div>"


def _heat(block: NDArray[np.floating[Any]]) -> str:
    """A picture of numbers, from the 1st percentile (dark) to the 99th (light); NaN is grey."""
    finite = block[np.isfinite(block)]
    low, high = np.percentile(finite, [1, 99]) if finite.size else (0.0, 1.0)
    share = np.clip((block - low) / max(high - low, 1e-12), 0, 1) * (len(_COLOURS) - 1)
    anchors = np.arange(len(_COLOURS))
    filled = np.nan_to_num(share)
    pixels = np.stack([np.interp(filled, anchors, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    pixels[~np.isfinite(block)] = 200
    return _png(pixels.round().astype(np.uint8))


def _png(pixels: NDArray[np.uint8], *, height: int | None = None) -> str:
    """A picture as a data URL."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    if height is not None:
        image = image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

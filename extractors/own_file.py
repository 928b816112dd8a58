"""Backbones in files of the user's own: ``my_backbone.py:MyNet``.

The file is read by its path and needs to be in no package. Modules beside it can be imported too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from extractors.base import Extractor
from storage.errors import UnknownBackbone
from storage.text import error_words, visible

FORM = "FILE.py:CLASS, e.g. my_backbone.py:MyNet"
_SEPARATOR = ".py:"
_FOLDERS: set[str] = set()
"""Of the files that backbones were read from."""


def is_own_file(name: str) -> bool:
    """Whether a backbone's name is that of a file and a class."""
    return _SEPARATOR in name


def path_of(name: str) -> str:
    """The file of a name, as an absolute path."""
    return os.path.normpath(Path(name.rpartition(_SEPARATOR)[0] + ".py").expanduser().absolute())


def absolute_name(name: str) -> str:
    """The name that means the same file in a process that works in another folder; other names as they are."""
    return f"{path_of(name)}:{name.rpartition(_SEPARATOR)[2]}" if is_own_file(name) else name


def load_class(name: str) -> tuple[type[Extractor], str]:
    """Find the class of a backbone.

    Args:
        name: ``FILE.py:CLASS``, without a frame rate.

    Returns:
        The class, and the first digits of the SHA-256 of its file.

    Raises:
        UnknownBackbone: If there is no such file or class, the file cannot be run, or the class is no backbone.
    """
    wanted, path = name.rpartition(_SEPARATOR)[2], Path(path_of(name))
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise UnknownBackbone(f"backbone {name!r}: {visible(path)}: {problem.strerror}. Expected {FORM}") from problem
    digest = hashlib.sha256(content).hexdigest()[:16]
    module = _module(path, digest, content)
    _check_helpers(path)
    kind = getattr(module, wanted, None)
    if not (inspect.isclass(kind) and issubclass(kind, Extractor)):
        raise UnknownBackbone(_no_backbone(name, module, wanted, kind))
    if inspect.isabstract(kind):
        lacking = ", ".join(sorted(kind.__abstractmethods__))
        raise UnknownBackbone(f"backbone {name!r}: {wanted} lacks {lacking}. docs/backbones.md shows what each is for")
    return kind, digest


class _Loader(SourceFileLoader):
    """Runs the very bytes that were hashed. Python's own would take a compiled file that was made from another content
    of the same size within the same second.
    """

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._content, self.path)


@lru_cache(maxsize=32)
def _module(path: Path, digest: str, content: bytes) -> ModuleType:
    """Run a file, once for each content that it has had."""
    # No package has a name like this, and classes in it say where they are from.
    name = f"avvp_backbone_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path), content))
    if spec is None or spec.loader is None:
        raise UnknownBackbone(f"backbone {visible(path)}: Python cannot import it")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # at the end, where it hides no module of others
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        raise UnknownBackbone(f"backbone {_place(path, problem)}: {error_words(problem)}. Mend that file") from problem
    return module


def _check_helpers(path: Path) -> None:
    """Modules have one name in a process: the second folder with a ``layers.py`` would get the first one's.

    Raises:
        UnknownBackbone: If a module beside the file was imported from beside another file of a backbone.
    """
    _FOLDERS.add(str(path.parent))
    for beside in [*path.parent.glob("*.py"), *path.parent.glob("*/__init__.py")]:
        name = beside.parent.name if beside.name == "__init__.py" else beside.stem
        loaded = Path(getattr(sys.modules.get(name), "__file__", None) or beside)
        home = loaded.parent.parent if loaded.name == "__init__.py" else loaded.parent
        if home != path.parent and str(home) in _FOLDERS:
            raise UnknownBackbone(
                f"backbone {visible(path)}: {visible(beside)} has the name of {visible(loaded)}, which another "
                "backbone of this run has imported. Rename one of them, or run the backbones one after the other"
            )


def _place(path: Path, problem: BaseException) -> str:
    """File and line of an error, as far as it can be told: the last one in the user's own file."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{visible(problem.filename)}:{problem.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)]
    return f"{visible(path)}:{lines[-1]}" if lines else visible(path)


def _no_backbone(name: str, module: ModuleType, wanted: str, found: object) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Extractor) and value.__module__ == module.__name__
    ]
    there = f"; its backbones are: {', '.join(own)}" if own else "; it holds no class that derives from Extractor"
    what = f"holds no {wanted!r}" if found is None else f"{wanted} does not derive from extractors.base.Extractor"
    return f"backbone {name!r}: {visible(module.__file__)}: {what}{there}"

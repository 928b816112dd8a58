"""``python without_packages.py a,b module arguments…``: run a module where these packages seem not to be installed."""

import runpy
import sys


class Without:
    """A finder that does not find some packages, and finds the rest as the one it stands for."""

    def __init__(self, finder, hidden):
        self._finder = finder
        self._hidden = hidden

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self._hidden else self._finder.find_spec(name, path, target)


def hide(packages):
    sys.meta_path[:] = [Without(finder, frozenset(packages)) for finder in sys.meta_path]


if __name__ == "__main__":
    _, packages, module, *arguments = sys.argv
    hide(packages.split(","))
    sys.argv = [module, *arguments]
    sys.path[0] = ""
    runpy.run_module(module, run_name="__main__", alter_sys=True)

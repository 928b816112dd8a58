"""The command ``avvp``. First it makes sure that Python finds our packages, not a user's folders of the same names.

The four packages have everyday names. A folder ``storage`` or ``pipeline`` on ``PYTHONPATH``, or in the folder that
``python -m`` runs in, hides ours, and the first import would fail with a traceback. So nothing of ours is imported here
before that has been looked at.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("storage", "extractors", "pipeline", "flows")
_HOME = Path(__file__).resolve().parent
_USER_MISTAKE = 2


def namesakes(folder: Path) -> list[Path]:
    """Packages and modules in ``folder`` that have a name of ours and are not ours."""
    if folder.resolve() == _HOME:
        return []
    places = [folder / name for name in PACKAGES]
    return [
        *(place for place in places if any(place.glob("*.py"))),
        *(file for place in places if (file := place.with_suffix(".py")).is_file()),
    ]


def shadowing() -> Path | None:
    """The first place that Python takes for one of our packages and that is not ours."""
    for name in PACKAGES:
        spec = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
        places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else []
        if places and Path(places[0]).resolve() != _HOME / name:
            return Path(places[0])
    return None


def exit_if_shadowed(command: str) -> None:
    """End the process with a line and exit code 2 where something else hides one of our packages.

    Args:
        command: as the user calls it.
    """
    place = shadowing()
    if place is not None:
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(place))
        print(
            f"{command}: {shown} hides the package {place.stem!r} of avvp-pipeline. Rename it, run from another "
            "folder, or take its folder out of PYTHONPATH",
            file=sys.stderr,
        )
        sys.exit(_USER_MISTAKE)


def main() -> None:
    """Run the command line and exit with its code."""
    exit_if_shadowed("avvp")
    from pipeline.cli.main import main as run

    run()


if __name__ == "__main__":
    main()

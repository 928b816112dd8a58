"""The command ``avvp``. Exit codes: 0 done, 2 the user's mistake, 3 finished but some clips failed, 1 our bug.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli import annotations as annotation_commands
from pipeline.cli import (
    backbones,
    doctor,
    download,
    extract,
    inspection,
    labels,
    parse,
    parsers,
    reproduce,
    stores,
    synthetic,
    up,
    weights,
)
from pipeline.terminal.exit_codes import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS = (
    annotation_commands, backbones, doctor, download, extract, inspection, labels, parse, parsers, reproduce, stores,
    synthetic, up, weights,
)  # fmt: skip
"""The modules that hold commands, each with its ``COMMANDS``."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="avvp-pipeline", prog_name="avvp")
def avvp() -> None:
    """Audio-visual video parsing: clips in once, features of every backbone in one Zarr store."""


for group in GROUPS:
    for command in group.COMMANDS:
        avvp.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    run_command(avvp, prog_name="avvp", arguments=arguments)


if __name__ == "__main__":
    main()

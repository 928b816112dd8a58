"""The commands ``avvp backbones``: list, search and check. Nothing heavy is imported before they run."""

from __future__ import annotations

import sys
from typing import Any

import click


class _PatternOrCommand(click.Group):
    """A group whose first word may be a pattern to search for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["search", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_PatternOrCommand, invoke_without_command=True)
@click.pass_context
def backbones(ctx: click.Context) -> None:
    """The backbones there are, their weights, and what each gives.

    Search by a shell pattern, with or without a family: avvp backbones "timm:*dinov3*". Does one keep what the engine
    and the store rely on? avvp backbones check NAME.
    """
    from pipeline.cli.backbones_actions import print_backbones

    if ctx.invoked_subcommand is None:
        print_backbones()


@backbones.command()
@click.argument("pattern")
def search(pattern: str) -> None:
    """Find names by a PATTERN, such as "timm:*convnext*" or "*siglip*"."""
    from pipeline.cli.backbones_actions import print_found

    sys.exit(print_found(pattern))


@backbones.command()
@click.argument("name")
@click.option("--weights", default="random:0", show_default=True, help="random:SEED, pretrained, or a state dict.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N.")
@click.option("--precision", default="float32", show_default=True, help="Of the network.")
@click.option("--engine", default="auto", show_default=True, help="auto, torch or openvino.")
@click.option(
    "--clip-seconds", type=click.IntRange(1), default=2, show_default=True, help="Length of the made-up clips."
)
def check(name: str, **options: Any) -> None:
    """Run NAME on made-up clips and check what it must keep."""
    from pipeline.cli.backbones_actions import run_check

    sys.exit(run_check(name, **options))


COMMANDS: tuple[click.Command, ...] = (backbones,)

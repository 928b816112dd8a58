"""Shows tables of scores: for people on a terminal, as Markdown in a pipe or a file."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH = 10_000


def show_tables(console: Console, markdown: str) -> None:
    """Print Markdown; on a terminal its tables are drawn, turned on their side where they are too wide for it.

    Args:
        console: of standard output.
        markdown: lines of text, and tables whose lines begin with ``|``.
    """
    if not console.is_terminal:
        console.print(markdown)
        return
    block: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if block:
            _draw(console, block)
            block = []
        console.print(line)


def _draw(console: Console, lines: list[str]) -> None:
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    head, body = [cell.strip() for cell in lines[0].strip("|").split("|")], rows[2:]
    if any(len(row) != len(head) for row in body):  # a name with a bar in it: nothing is lost by printing it as it is
        console.print("\n".join(lines))
        return
    table = _table([head, *body])
    if Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum > console.width:
        table = _table([list(column) for column in zip(head, *body, strict=True)], whole_names=True)
    console.print(table)


def _table(cells: list[list[str]], *, whole_names: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(cells[0]):
        table.add_column(
            name, justify="right" if number else "left", overflow="fold", no_wrap=whole_names and not number
        )
    for row in cells[1:]:
        table.add_row(*row)
    return table

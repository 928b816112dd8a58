"""The command ``avvp download``. Nothing heavy is imported before it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="CSV_OR_DIR")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Where the clips go: <row name>.mp4 each.")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Clips at once.")
@click.option("--rate", default="5/min", show_default=True,
              help="Starts: N/min, N/hour, N/s, seconds between two (12s), or none.")  # fmt: skip
@click.option("--cookies", default="", help="A cookies file (Netscape format); it is never written.")
@click.option("--retry-failed", "retry", is_flag=False, flag_value="all", multiple=True, metavar="[REASON]",
              help="Also try what failed before: all of it, or by reason, e.g. timeout,broken. Repeat for several.",
              )  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Try this many clips in this run.")
@click.option("--deadline", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True,
              help="Seconds to download one clip in.")  # fmt: skip
@click.option("--socket-timeout", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True,
              help="Seconds to wait for an answer.")  # fmt: skip
@click.option("--format", "format_", help="Which streams, in yt-dlp's language. Default: up to 480 lines.")
@click.option("--url-template", help="Where videos are, with {id} or {name}. Default: YouTube.")
@click.option(
    "--status", is_flag=True, help="Only say what a folder of an earlier run holds: avvp download --status FOLDER"
)
def download(
    source: str, *, folder: Path | None, status: bool, workers: int, rate: str, cookies: str, retry: tuple[str, ...],
    limit: int | None, deadline: float, socket_timeout: float, format_: str | None, url_template: str | None,
) -> None:  # fmt: skip
    """Download the clips of an LLP CSV (or of our own tables with spans) and cut them exactly.

    Run the same command again after a kill or Ctrl-C: it goes on. Dead links go into FOLDER/download.jsonl with the
    reason. Exit codes: 0 all there, 3 some failed, 2 your mistake.
    """
    from pipeline.cli.download_actions import print_folder, run_download

    if status:
        print_folder(Path(source))
        return
    if folder is None:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    code = run_download(
        source, folder, workers=workers, rate=rate, cookies=cookies, retry=retry, limit=limit, deadline=deadline,
        socket_timeout=socket_timeout, format_=format_, url_template=url_template,
    )  # fmt: skip
    sys.exit(code)


COMMANDS: tuple[click.Command, ...] = (download,)

"""Exit codes and error reporting of the command line."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence

import click

from pipeline.terminal.streams import drop_unread_streams, open_missing_streams

BROKEN = 1
USER_MISTAKE = 2
SOME_CLIPS_FAILED = 3
INTERRUPTED = 130
_IN_WAY = dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a file is where a folder is wanted")
_USERS_DISK = (
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
"""What only the owner of the disk can mend: rights, space, a file where a folder should be, a name that cannot be."""


def run_command(command: click.Command, *, prog_name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a click command and exit with its code.

    Args:
        command: to run.
        prog_name: as the user calls it.
        arguments: instead of the process's own.
    """
    from storage.errors import AvvpError, BackboneBroken
    from storage.extras import naming_extras

    open_missing_streams()
    name = prog_name.split()[-1].removeprefix("pipeline.")
    if isinstance(sys.stdout, io.TextIOWrapper):  # it may know no more than ASCII; standard error escapes by itself
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        given = None if arguments is None else list(arguments)
        with naming_extras():
            code = command.main(args=given, prog_name=prog_name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help() if asked.ctx else "")
        code = 0
    except click.UsageError as mistake:
        where = f"{mistake.ctx.command_path}: " if mistake.ctx else f"{name}: "
        code = _complain(f"{where}{mistake.format_message()} See: {where.removesuffix(': ')} --help")
    except click.ClickException as mistake:
        code = _complain(f"{name}: {mistake.format_message()}")
    except BackboneBroken as broken:
        code = _complain(f"{name}: {broken}", BROKEN)
    except AvvpError as mistake:
        code = _complain(f"{name}: {mistake}")
    except OSError as problem:
        if problem.errno == errno.EPIPE and drop_unread_streams():
            sys.exit(0)  # whoever read has had enough, as head has
        if problem.errno not in _USERS_DISK:
            raise
        why = _IN_WAY.get(problem.errno, problem.strerror)
        code = _complain(f"{name}: {problem.filename or 'the disk'}: {why}. Mend it and run again")
    except SystemExit as ended:
        if drop_unread_streams() and ended.code == BROKEN:  # click's, where nobody reads what is printed
            sys.exit(0)
        raise
    except (click.Abort, KeyboardInterrupt) as stop:
        if isinstance(stop.__cause__, EOFError):  # click takes the end of any file for Ctrl-D
            raise stop.__cause__ from None
        click.echo(f"{name}: interrupted. What is done is safe; run the same command to go on", err=True)
        code = INTERRUPTED
    drop_unread_streams()
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int = USER_MISTAKE) -> int:
    """One line, whatever the message holds. Returns the exit code."""
    from storage.text import visible

    click.echo(visible(" ".join(message.split())), err=True)
    return code

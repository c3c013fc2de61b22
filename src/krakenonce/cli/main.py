"""The command line: ``krakenonce COMMAND``. A new command is one more name in the list below.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM. Each failure is one line on
stderr.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import click

from krakenonce._version import __version__
from krakenonce.cli.accounts import call_all, copy_order
from krakenonce.cli.calls import adopt, balance, call
from krakenonce.cli.completion import VARIABLE, completion
from krakenonce.cli.demo import demo
from krakenonce.cli.doctor import doctor
from krakenonce.cli.fake import fake_kraken
from krakenonce.cli.gateway import gateway
from krakenonce.cli.log import log
from krakenonce.cli.nonces import next_, peek, raise_floor, stats
from krakenonce.cli.output import complain, is_shown
from krakenonce.cli.run import run
from krakenonce.cli.state import move, state
from krakenonce.cli.waiting import Terminated
from krakenonce.errors import InvalidFloor, InvalidScope, KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Sequence


FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 1, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM


@click.group(
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM. Each failure "
    "is one line on stderr. KRAKENONCE_DEBUG=1 adds a traceback to unexpected errors.",
)
@click.version_option(__version__, prog_name="krakenonce", message="%(prog)s %(version)s")
def cli() -> None:
    """Issue nonces for Kraken's private REST API, and let one call per API key through at a time."""


for _command in (
    *(next_, peek, stats, raise_floor),
    *(adopt, balance, call, call_all, copy_order),
    *(move, state, log, doctor),
    *(run, gateway, fake_kraken, demo, completion),
):
    cli.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments after ``krakenonce``; None: those of this process. Without any, the help is shown.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("krakenonce").addHandler(_WARNINGS)  # no matter how often
    try:
        code = cli.main(words or ["--help"], prog_name="krakenonce", complete_var=VARIABLE, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.Abort as error:
        return _stopped(_explain(error.__cause__ or KeyboardInterrupt()))
    except BaseException as error:
        return _stopped(_explain(error))
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> int:
    """Print one line about the error and return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, BrokenPipeError):
        return FAILED  # the reader of our output has closed it
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "krakenonce"
        complain(f"{error.format_message().rstrip('.')}; see {command} --help")
        return WRONG_USAGE
    if isinstance(error, click.ClickException):
        complain(error.format_message())
        return error.exit_code
    if isinstance(error, KrakenonceError):
        complain(str(error))
        return WRONG_USAGE if isinstance(error, InvalidFloor | InvalidScope) else FAILED
    # Without its text, which may contain a secret.
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    if os.environ.get("KRAKENONCE_DEBUG") == "1":
        traceback.print_exception(error)
    complain(f"unexpected error {type(error).__name__}{reason}; KRAKENONCE_DEBUG=1 shows the traceback of such errors")
    return FAILED


def _stopped(code: int) -> int:
    """Flush or discard all output now.

    At exit, the interpreter would print an error for a closed pipe, and wait for ever for a pipe that is full.
    """
    try:
        if _is_full():
            raise BlockingIOError
        sys.stdout.flush()
    except (OSError, AttributeError, ValueError):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _is_full() -> bool:
    """Whether stdout is a pipe that takes nothing more, because its reader has stopped reading."""
    try:
        return not select.select([], [sys.stdout], [], 0)[1]
    except (OSError, TypeError, ValueError):  # it is closed, or no file
        return False


class _OneLine(logging.Handler):
    """Warnings as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_shown(record.name):
            complain(f"{record.levelname.lower()}: {record.getMessage()}")


_WARNINGS = _OneLine(logging.WARNING)

"""Python processes that cannot be guarded, because they do not read ``PYTHONPATH``: found, and warned about."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


SITE = str(Path(__file__).parent / "site")  # the directory that stands in PYTHONPATH
VARIABLE = "KRAKENONCE_RUN"  # the directory in which a run counts

_PYTHON = re.compile(r"(python|pypy)[0-9.]*w?t?(\.exe)?")
_STARTERS = {"env", "nohup", "nice", "ionice", "setsid", "stdbuf", "time", "timeout", "exec", "sudo", "xvfb-run"}
_WITHOUT_US = "IES"  # options with which Python imports no sitecustomize, or none from PYTHONPATH


def ignores_us(words: Sequence[str]) -> str:
    """Return which option of a command lets Python ignore us, such as ``-I``; an empty text: none, or no Python.

    Args:
        words: The command. A script is looked into for its first line; ``sh -c`` is read as far as it is simple.
    """
    found = _python(words)
    if not found:
        return ""
    rest = iter(found[1:])
    for word in rest:
        if word in ("-", "--") or not word.startswith("-"):
            return ""
        if word.startswith("--"):
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in _WITHOUT_US:
                return f"-{letter}"
            if letter in "cm":
                return ""
            if letter in "WX":
                if at == len(word) - 1:
                    next(rest, None)
                break
    return ""


def look_at_start(event: str, args: tuple[Any, ...]) -> None:
    """Warn on stderr when this process starts a Python process that cannot be guarded.

    Args:
        event: What Python tells an audit hook.
        args: What comes with it.
    """
    with contextlib.suppress(Exception):  # what we do not understand is the program's business
        _look(event, args)


def _python(words: Sequence[str]) -> Sequence[str]:
    """Return the words from Python on; empty: this starts no Python that we can see."""
    if not words:
        return ()
    name = os.path.basename(words[0])
    if _PYTHON.fullmatch(name):
        return words
    if name in _STARTERS:
        at = [at for at, word in enumerate(words) if _PYTHON.fullmatch(os.path.basename(word))]
        return words[at[0] :] if at else ()
    if name in ("sh", "bash", "dash", "zsh") and len(words) > 2 and words[1] == "-c":
        try:
            return _python(shlex.split(words[2]))
        except ValueError:
            return ()
    return _python(_first_line(words[0])) if name not in ("sh", "bash", "dash", "zsh") else ()


def _first_line(program: str) -> list[str]:
    """Return the words after ``#!`` of a script, if its interpreter is no script itself."""
    try:
        with open(shutil.which(program) or program, "rb") as file:
            line = file.readline(300) if file.read(2) == b"#!" else b""
    except (OSError, ValueError):
        return []
    words = line.decode(errors="replace").split()
    name = os.path.basename(words[0]) if words else ""
    return words if _PYTHON.fullmatch(name) or name in _STARTERS else []


def _look(event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        _check([args[0], *_texts(args[1])[1:]] if args[0] else _texts(args[1]), args[3])
    elif event in ("os.exec", "os.posix_spawn"):
        _check([args[0], *_texts(args[1])[1:]], args[2])
    elif event == "os.system":
        _check(["sh", "-c", os.fsdecode(args[0])], None)
    elif args[0] == b"PYTHONPATH" and SITE.encode() not in b"".join(args[1:]):  # without a value if it is unset
        _warn("the Python processes that it starts from now on", "it has changed PYTHONPATH")


def _texts(words: Any) -> list[str]:
    return [os.fsdecode(word) for word in ([words] if isinstance(words, str | bytes | os.PathLike) else words)]


def _check(words: list[Any], env: Mapping[Any, Any] | None) -> None:
    words = _texts(words)
    if not _python(words):
        return
    what = f"the {os.path.basename(_python(words)[0])} that it starts"
    if option := ignores_us(words):
        _warn(what, f"with {option} Python does not read PYTHONPATH")
    elif env is not None and SITE not in os.fsdecode(env.get("PYTHONPATH") or env.get(b"PYTHONPATH") or ""):
        _warn(what, "it gets an environment without our PYTHONPATH")


def _warn(what: str, why: str) -> None:
    """Say it once in a process: a program may start a thousand. The words of a command may have a secret."""
    line = f"krakenonce: warning: process {os.getpid()}: {what} will not be guarded: {why}; its calls may be refused\n"
    if (what, why) not in _said and sys.stderr is not None:
        _said.add((what, why))
        sys.stderr.write(line)


_said: set[tuple[str, str]] = set()

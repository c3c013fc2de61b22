"""The command completion, and what it completes: accounts' names, and the names of Kraken's methods.

While a line is completed nothing is said, not even what is wrong: it would stand in the middle of the line.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from krakenonce.brokers.credentials import MASTER, read_accounts
from krakenonce.brokers.credentials_texts import USER
from krakenonce.cli.output import write
from krakenonce.errors import KrakenonceError
from krakenonce.key.methods import METHODS, PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterable


VARIABLE = "_KRAKENONCE_COMPLETE"  # in which the script says that a line is to be completed
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), metavar="|".join(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script with which a shell completes krakenonce's commands, options, accounts and methods.

    For bash write into ~/.bashrc: eval "$(krakenonce completion bash)". For zsh the same into ~/.zshrc, with zsh. For
    fish: krakenonce completion fish > ~/.config/fish/completions/krakenonce.fish. Only names are completed: no key is
    shown.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}", context)
    made = kind(context.find_root().command, {}, "krakenonce", VARIABLE)
    write(made.source_template % made.source_vars())  # source() would start bash to ask for its version


def complete_account(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of an account."""
    return _beginning(_names(context), begun)


def complete_accounts(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the last one of several accounts, separated by commas."""
    before, comma, _ = begun.rpartition(",")
    there = before.lower().split(",")
    return _beginning([f"{before}{comma}{name}" for name in _names(context) if name.lower() not in there], begun)


def complete_scale(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of an account before its factor."""
    return _beginning([f"{name}=" for name in _names(context)], begun)


def complete_method(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of any of Kraken's methods."""
    return _beginning(sorted({*METHODS, *PUBLIC}), begun)


def complete_private_method(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a private method."""
    return _beginning(METHODS, begun)


def _names(context: click.Context) -> list[str]:
    """Return the short names of all accounts, also of those that cannot be used: nothing else of the file."""
    logging.disable()  # this process completes a line and ends
    try:
        found = read_accounts(os.environ, context.params.get("credentials"))
    except KrakenonceError:
        return []
    names = {*found.accounts, *found.wrong}
    # Not USER:alice, because bash takes a colon for the end of a word.
    return sorted((name.removeprefix(USER) for name in names), key=lambda name: (name != MASTER, name))


def _beginning(words: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.lower().startswith(begun.lower())]

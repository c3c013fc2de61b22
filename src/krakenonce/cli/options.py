"""Options that several commands have."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from krakenonce.backends.state_name import has_password, read_state
from krakenonce.brokers.credentials import full_name
from krakenonce.checks import check_seconds
from krakenonce.cli.completion import complete_account, complete_accounts
from krakenonce.cli.output import complain
from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.key.funding import WHY, is_funding
from krakenonce.key.parameters import allow_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.brokers.credentials import Account, Found


_METHOD = re.compile(r"[A-Za-z0-9]+(/[A-Za-z]+)?")


@contextlib.contextmanager
def wrong_usage() -> Iterator[None]:
    """Take a ConfigError about what stands on the command line for wrong usage."""
    try:
        yield
    except ConfigError as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from None


def account_of(found: Found, name: str) -> Account:
    """Return the account that the command line names. Raises click.UsageError if there are only others."""
    names = {**found.accounts, **found.wrong}
    if names:
        with wrong_usage():
            name = full_name(names, name)
    return found.one(name)


def check_state(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what names no state here, where the message can name the option."""
    if value is not None:
        name = "--state" if isinstance(parameter, click.Option) else str(parameter.metavar)
        if has_password(value):
            complain(
                f"warning: every user of this host can read the password in {name} in the list of processes; put the "
                "URL into $KRAKENONCE_STATE_DIR, or the password where docs/how-to/several-hosts.md says"
            )
        with wrong_usage():
            read_state(value, name)
    return value


state_option = click.option(
    "--state",
    metavar="DIR|URL",
    callback=check_state,
    help="State directory, or URL of a backend. Default: $KRAKENONCE_STATE_DIR, else this user's state directory.",
)
scope_option = click.option(
    "--scope",
    default="global",
    show_default=True,
    metavar="NAME",
    help="Name of the counter. All accounts normally use one counter.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
always_json_option = click.option(  # so that a script need not know which commands print JSON without it
    "--json", is_flag=True, expose_value=False, help="Print JSON, which this command does without it, too."
)
force_option = click.option(
    "--force", is_flag=True, help="Send parameters too that krakenonce does not know. Without it, a slip is refused."
)
account_option = click.option(
    "--account",
    "account_name",
    metavar="NAME",
    shell_complete=complete_account,
    help="Account: MASTER, USER:alice or just alice. Default: MASTER.",
)
accounts_option = click.option(
    "--accounts",
    metavar="NAME,...",
    shell_complete=complete_accounts,
    help="Accounts, separated by commas, such as MASTER,alice,bob.",
)


def seconds(_context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Refuse ``nan``, ``inf`` and what is longer than the system can wait, all of which click accepts."""
    if value is not None:
        with wrong_usage():
            check_seconds(option.opts[0], value, zero=True)
    return value


def _base_url(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """Return where calls go. What is no address is refused before anything is done."""
    from krakenonce.kraken.address import DEFAULT, base_url_of
    from krakenonce.kraken.request import host_of

    with wrong_usage():
        found = base_url_of(DEFAULT if value is None else value)
        host_of(found)
    return found


def confirm(question: str) -> None:
    """Ask on stderr. Raises KrakenonceError if the answer is no, or if there is no answer."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise
        agreed = False
    if not agreed:
        raise KrakenonceError("nothing was changed; use --yes to skip this question")


def kraken_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that call Kraken."""
    for option in (
        click.option(
            "--credentials",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file with the tables [MASTER] and [USER.<name>], each with api_key, api_secret and optionally "
            "tier and otp, or with a list of several keys. Default: $KRAKENONCE_CREDENTIALS. Accounts in the "
            "environment (KRAKEN_MASTER_API_KEY, KRAKEN_MASTER_API_SECRET, ...) override the file.",
        ),
        click.option(
            "--base-url",
            callback=_base_url,
            metavar="URL",
            help="Kraken's address, or that of a fake Kraken or a gateway. Default: $KRAKENONCE_BASE_URL, else "
            "https://api.kraken.com.",
        ),
        state_option,
    ):
        command = option(command)
    return command


def method_of(word: str) -> str:
    """Return the name of one of Kraken's methods. Raises click.UsageError if it is none, or a path of another API."""
    if is_funding(word):
        raise click.UsageError(WHY)
    if not _METHOD.fullmatch(word):
        raise click.UsageError("METHOD is a name such as Balance; it has letters and digits only")
    return word


def params_of(method: str, words: tuple[str, ...], *, force: bool = False) -> dict[str, Any]:
    """Return the parameters of a call, written as KEY=VALUE; a list or an object is written as JSON.

    Args:
        method: Kraken's name of the method.
        words: The words of the command line.
        force: Whether names that krakenonce does not know are sent, too.

    Raises:
        click.UsageError: A word is not of this form.
    """
    params: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.UsageError("Write each parameter as KEY=VALUE, such as pair=XBTUSD")
        if name == "nonce":
            raise click.UsageError("Leave out nonce: krakenonce adds it")
        if name == "otp":
            raise click.UsageError(
                "Leave out otp, which every user could read in the list of processes: give it with the credentials, as "
                'KRAKEN_MASTER_API_OTP or otp = "..."'
            )
        if name in params:
            raise click.UsageError(f"The parameter {name} is given twice")
        params[name] = _nested(name, value) if value.startswith(("[", "{")) else value
    if force:
        allow_parameters(method, *_names_in(params))
    return params


def _names_in(value: object) -> Iterator[str]:
    """All names in a value, also those of the orders of a batch."""
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names_in(each)


def _nested(name: str, value: str) -> Any:
    try:
        return json.loads(value, parse_float=Decimal)
    except ValueError as error:
        raise click.UsageError(f"The parameter {name} is not JSON: {error}") from None

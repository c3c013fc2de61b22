"""Bugs in what the command line shows, and in the reference of what users may call."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["COMMAND_LINE"]

_TABLES = "src/krakenonce/cli/tables.py"
_OUTCOMES = "src/krakenonce/cli/outcomes.py"
_COMPLETION = "src/krakenonce/cli/completion.py"
_TEST_TABLES = "tests/integration/cli/accounts/test_tables.py"
_TEST_JSON = "tests/integration/cli/test_json.py"
_TEST_COMPLETION = "tests/integration/cli/test_completion.py"

COMMAND_LINE = (
    Planted(
        "a number is cut on a narrow terminal",
        "judge",
        _TABLES,
        was='_SHORTENED: tuple[Kind, ...] = ("reason", "name")',
        becomes='_SHORTENED: tuple[Kind, ...] = ("number", "reason", "name")',
        test=f"{_TEST_TABLES}::test_numbers_are_whole_on_a_narrow_terminal",
    ),
    Planted(
        "an order's id is cut on a narrow terminal",
        9,
        _OUTCOMES,
        was='Column("order id", "id")',
        becomes='Column("order id", "reason")',
        test=f"{_TEST_TABLES}::test_no_number_and_no_id_is_cut_on_a_terminal[60]",
    ),
    Planted(
        "an order that may have been placed is left out of the sum",
        9,
        _OUTCOMES,
        was='{"not placed": "not", "unknown": "unknown"}',
        becomes='{"not placed": "not"}',
        test=f"{_TEST_TABLES}::test_the_last_line_has_the_sum",
    ),
    Planted(
        "text from Kraken can move a terminal's cursor",
        "security",
        _TABLES,
        was="    cells = [[printable(cell) for cell in row] for row in rows]\n",
        becomes="    cells = [list(row) for row in rows]\n",
        test=f"{_TEST_TABLES}::test_what_a_terminal_would_obey_is_not_shown",
    ),
    Planted(
        "the JSON of a command has a line before it",
        "judge",
        "src/krakenonce/cli/gateway_keys.py",
        was='        if as_json:\n            write(to_json({**_as_dict(made), "api_key"',
        becomes='        write(made.name)\n        if as_json:\n            write(to_json({**_as_dict(made), "api_key"',
        test=f"{_TEST_JSON}::test_local_keys_as_json",
    ),
    Planted(
        "a command has no --json",
        "judge",
        "src/krakenonce/cli/nonces.py",
        was="@scope_option\n@json_option\n@state_option\ndef peek(scope: str, as_json: bool, state: str | None)",
        becomes="@scope_option\n@state_option\ndef peek(scope: str, state: str | None, as_json: bool = False)",
        test=f"{_TEST_JSON}::test_every_command_can_print_json",
    ),
    Planted(
        "completion shows a key",
        "security",
        _COMPLETION,
        was="    names = {*found.accounts, *found.wrong}\n",
        becomes="    names = {*found.accounts, *found.wrong, *(each.key for each in found.accounts.values())}\n",
        test=f"{_TEST_COMPLETION}::test_bash_completes[balance --account -MASTER alice bob carol]",
    ),
    Planted(
        "completion says in the middle of a line what is wrong with the credentials",
        "security",
        _COMPLETION,
        was="    except KrakenonceError:\n        return []\n",
        becomes="    except KrakenonceError as error:\n        write(f'plain,{error}')\n        return []\n",
        test=f"{_TEST_COMPLETION}::test_a_file_that_cannot_be_read_is_not_spoken_of",
    ),
    Planted(
        "the environment sends calls over http to another machine",
        "security",
        "src/krakenonce/kraken/address.py",
        was='address.scheme == "http" and not is_here(',
        becomes='address.scheme == "ftp" and not is_here(',
        test=f"{_TEST_JSON}::test_an_environment_that_cannot_be_used_stops_everything",
    ),
    Planted(
        "a guarded client decodes a secret that is not base64",
        "security",
        "src/krakenonce/key/pair.py",
        was="    if not _is_base64(secret):\n",
        becomes="    if not secret and not _is_base64(secret):\n",
        test="tests/integration/guard/test_clients.py::test_a_pair_that_cannot_be_right_is_not_sent",
    ),
    Planted(
        "a public name is missing in the reference",
        "judge",
        "src/krakenonce/guards/__init__.py",
        was='__all__ = ["Adapter", "Turns", "guard", ',
        becomes='__all__ = ["Adapter", "Turns", "annotations", "guard", ',
        test="tests/integration/test_docs.py::test_every_public_name_is_in_the_reference",
    ),
)

"""Bugs that show a secret, or sign other bytes than those that are sent: docs/explanation/security.md."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["SECRETS"]

_EXCHANGE = "src/krakenonce/kraken/request.py"
_WIRE = "src/krakenonce/kraken/wire.py"
_FILE = "src/krakenonce/brokers/credentials_file.py"

SECRETS = (
    Planted(
        "a key is in its repr",
        "security",
        _EXCHANGE,
        was='        return "Key(...)"\n',
        becomes='        return f"Key({self.key})"\n',
        test="tests/integration/kraken/test_rules_of_calls.py::test_no_part_of_a_key_is_shown",
    ),
    Planted(
        "an account's key is in its repr",
        "security",
        "src/krakenonce/brokers/credentials.py",
        was='return f"<Account {self.name} key {fingerprint(self.key)}>"',
        becomes='return f"<Account {self.name} key {self.key[:8]}>"',
        test="tests/integration/brokers/test_credentials.py::test_account_shows_neither_key_nor_secret",
    ),
    Planted(
        "a client's key is in its repr",
        "security",
        "src/krakenonce/kraken/session.py",
        was='shown = fingerprint(self.key) if self.key else ""',
        becomes="shown = self.key",
        test="tests/integration/kraken/test_client.py::test_repr_shows_no_credentials",
    ),
    Planted(
        "a lane's file is named by the key",
        "security",
        "src/krakenonce/key/naming.py",
        was="    return hashlib.sha256(name.encode()).hexdigest()[:16]\n",
        becomes="    return hashlib.sha256(name.encode()).hexdigest()[:8] + name[-8:].replace('/', '_')\n",
        test="tests/integration/key/test_threads.py::test_the_key_is_shown_nowhere",
    ),
    Planted(
        "a secret is in the message that refuses it",
        "security",
        _WIRE,
        was='            "The API secret is not base64 text:',
        becomes='            f"The API secret {secret} is not base64 text:"\n            "',
        test="tests/unit/kraken/test_wire.py::test_a_bad_secret_is_refused_and_not_quoted",
    ),
    Planted(
        "an error page that quotes the key is shown unchanged",
        "security",
        _EXCHANGE,
        was='shown.replace(key, "(key)")[:_SHOWN] if key else shown[:_SHOWN]',
        becomes="shown[:_SHOWN]",
        test="tests/integration/kraken/test_client.py::test_other_answers_are_unknown_outcomes",
    ),
    Planted(
        "an error that quotes the key is shown unchanged",
        "security",
        _EXCHANGE,
        was='str(each).replace(key, "(key)")',
        becomes="str(each)",
        test="tests/unit/key/test_answers.py::test_an_error_that_quotes_the_api_key_is_shown_without_it",
    ),
    Planted(
        "a credentials file that others may read is used",
        "security",
        _FILE,
        was="    if not mode & 0o077:\n",
        becomes="    if not mode & 0o007:\n",
        test="tests/integration/brokers/test_credentials.py::test_file_open_to_others",
    ),
    Planted(
        "the signature is over other bytes than those that are sent",
        "security",
        _EXCHANGE,
        was='        return Request("POST", path, headers, body)\n',
        becomes='        return Request("POST", path, headers, body + b" ")\n',
        test="tests/integration/kraken/test_client.py::test_a_private_call_has_krakenexs_answer",
    ),
    Planted(
        "the query string is not signed",
        "security",
        _WIRE,
        was='    message = path.encode("utf-8", "surrogateescape") + digest\n',
        becomes='    message = path.partition("?")[0].encode("utf-8", "surrogateescape") + digest\n',
        test="tests/unit/kraken/test_wire.py::test_sign_gives_the_published_signatures",
    ),
    Planted(
        "any signature is right",
        "security",
        _WIRE,
        was='    return hmac.compare_digest(expected.encode("ascii"), signature.encode("utf-8", "backslashreplace"))\n',
        becomes="    return len(expected) == len(signature)\n",
        test="tests/unit/kraken/test_wire.py::test_a_changed_request_is_not_verified",
    ),
    Planted(
        "a key and a secret that are swapped are sent",
        "security",
        "src/krakenonce/key/pair.py",
        was="    if _SECRET.fullmatch(key) and _KEY.fullmatch(secret):\n",
        becomes="    if _SECRET.fullmatch(secret) and _KEY.fullmatch(secret):\n",
        test="tests/integration/kraken/test_pairs.py::test_a_pair_that_is_swapped_or_in_quotes_is_not_sent",
    ),
    Planted(
        "a guarded client sends its secret as its key",
        "security",
        "src/krakenonce/guards/turns.py",
        was='            raise ConfigError(f"{wrong} Nothing was sent.")\n',
        becomes='            key = "swapped"\n',
        test="tests/integration/guard/test_clients.py::test_a_pair_that_is_swapped_or_in_quotes_is_not_sent[swapped-krakenex]",
    ),
    Planted(
        "a file of root that all users can read is used",
        "security",
        _FILE,
        was="found.st_uid == 0 != me and not mode & 0o037",
        becomes="found.st_uid == 0 != me",
        test="tests/integration/brokers/test_credentials_file.py::test_advice_about_another_user_s_file_can_be_followed",
    ),
    Planted(
        "a secret on a read-only mount is refused",
        "security",
        _FILE,
        was="    if is_read_only or (found",
        becomes="    if (found",
        test="tests/integration/brokers/test_credentials_file.py::test_a_secret_on_a_read_only_mount_is_used",
    ),
    Planted(
        "the message about a file that is no TOML shows the line",
        "security",
        _FILE,
        was='    return f"line {number} {what}"\n',
        becomes='    return f"line {number} {what}: {line}"\n',
        test="tests/integration/brokers/test_credentials_file.py::test_what_is_not_toml_is_named_with_its_line",
    ),
    Planted(
        "a wrong account stops the others",
        "security",
        "src/krakenonce/brokers/credentials.py",
        was="        if full in self.wrong:\n",
        becomes="        if self.all() and full in self.wrong:\n",
        test="tests/integration/brokers/test_credentials.py::test_a_wrong_account_stops_no_other",
    ),
    Planted(
        "a proxy's password is in its repr",
        "security",
        "src/krakenonce/kraken/proxy.py",
        was="headers: Mapping[str, str] = field(repr=False)",
        becomes="headers: Mapping[str, str] = field()",
        test="tests/integration/kraken/test_proxies.py::test_a_proxy_s_address_may_be_short",
    ),
    Planted(
        "an error of the async client has the proxy's password",
        "security",
        "src/krakenonce/kraken/async_transport.py",
        was="            refused = error.status  # the error itself contains the proxy's password\n",
        becomes="            raise unsent(request.call, self.host, self._proxy, error.status) from error\n",
        test="tests/integration/kraken/test_proxies.py::test_a_call_that_the_proxy_refuses_was_not_sent",
    ),
)

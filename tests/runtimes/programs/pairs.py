"""Bots and a tool for taxes, as their users start them, but for their address: NAME WORDS... of the program."""

from __future__ import annotations

import sys

from tests.runtimes.programs.given import URL

KRAKEN = "https://api.kraken.com"  # where they all look for it


def infinity_grid() -> None:
    """Run infinity-grid. Its address is in its environment; python-kraken-sdk asks Kraken itself for decimals."""
    import kraken.base_api
    from infinity_grid.core.cli import cli

    kraken.base_api.SpotClient.URL = URL
    cli()


def cryptobob() -> None:
    """Run cryptobob. Its address is a constant."""
    from cryptobob import kraken
    from cryptobob.cli import main

    request = kraken.Request
    kraken.Request = lambda url, **how: request(url.replace(KRAKEN, URL), **how)
    main()


def ledgers_by_krakenex() -> None:
    """Ask for the ledger again and again, by the key in the arguments; print how many calls were refused.

    Its nonces have 13 digits.
    """
    import krakenex

    url, key, secret, pulls = sys.argv[1:]
    api = krakenex.API(key, secret)
    api.uri = url
    errors = [api.query_private("Ledgers")["error"] for _ in range(int(pulls))]
    api.close()
    assert all(each in ([], ["EAPI:Invalid nonce"]) for each in errors), errors
    print("refused:", sum(map(bool, errors)))


def ledgers_by_kraken_sdk() -> None:
    """Do the same with python-kraken-sdk, whose nonces have 18 digits."""
    from kraken.exceptions import KrakenInvalidNonceError
    from kraken.spot import User

    url, key, secret, pulls = sys.argv[1:]
    user, refused = User(key, secret, url=url), 0
    for _ in range(int(pulls)):
        try:
            user.get_ledgers_info()
        except KrakenInvalidNonceError:
            refused += 1
    print("refused:", refused)


if __name__ == "__main__":
    globals()[sys.argv.pop(1)]()

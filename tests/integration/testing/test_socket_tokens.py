"""Who may use a WebSocket: the tokens of GetWebSocketsToken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.testing.tokens import issue
from tests.integration.testing.helpers import Wire
from tests.integration.testing.socket_client import Client, run, token_for

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


def test_a_token_is_for_one_account_and_for_15_minutes(
    fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer
) -> None:
    """A token of another account shows the other account; an old, a removed and a useless one are refused."""
    other = fake.add_account("other", balances={"ZUSD": "5"})
    old, young = (token_for(fake, account, fake.time() - age) for age in (901, 890))
    poor = token_for(fake, fake.add_account("poor"))

    async def work() -> None:
        async with Client(server.url) as client:
            refused = await client.ask("subscribe", channel="executions", token=old)
            assert refused["error"] == "ESession:Invalid session"
            assert (await client.ask("subscribe", channel="executions", token=young))["success"]
            (held,) = (await client.follow("balances", token=token_for(fake, other)))["data"]
            assert (held["asset"], held["balance"]) == ("USD", 5)
            next(each for each in fake.keys.values() if each.name == "poor").ws_tokens.clear()
            assert (await client.ask("cancel_all", token=poor))["error"] == "ESession:Invalid session"
            account.keys[0].permissions = frozenset({"modify-trades"})
            assert (await client.ask("cancel_all", token=young))["error"] == "ESession:Invalid session"

    run(work())


def test_a_token_ends_with_its_key(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """Of an account's two keys one is revoked and one expires: neither's token is accepted, the first key's is."""
    first = token_for(fake, account)
    revoked, expiring = fake.add_key(account, "revoked"), fake.add_key(account, "expiring")
    tokens = [issue(key, fake.time()) for key in (revoked, expiring)]

    async def work() -> None:
        async with Client(server.url) as client:
            for token in (first, *tokens):
                assert (await client.ask("cancel_all", token=token))["success"]
            revoked.is_revoked, expiring.valid_until = True, fake.time() - 1
            for token in tokens:
                assert (await client.ask("cancel_all", token=token))["error"] == "ESession:Invalid session"
            assert (await client.ask("cancel_all", token=first))["success"]

    run(work())


def test_a_key_without_the_permission_gets_no_token(fake: FakeKraken, server: FakeKrakenServer) -> None:
    """Over REST, where tokens come from."""
    reader = fake.add_account("reader", permissions=["query-funds"])
    assert Wire(server.url, reader).reply("GetWebSocketsToken") == {"error": ["EGeneral:Permission denied"]}


def test_a_token_in_use_outlives_its_time(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """On the connection that has subscribed with it alone, as Kraken's REST page says; its guide says otherwise."""
    token = token_for(fake, account)

    async def work() -> None:
        async with Client(server.url) as client, Client(server.url) as other:
            await client.follow("executions", token=token)
            account.keys[0].ws_tokens[token] -= 901
            assert (await client.ask("cancel_all", token=token))["success"]
            assert (await other.ask("cancel_all", token=token))["error"] == "ESession:Invalid session"
            fake.rules.change(token_outlives_its_time=False)
            assert (await client.ask("cancel_all", token=token))["error"] == "ESession:Invalid session"

    run(work())

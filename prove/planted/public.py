"""Bugs in public calls through the gateway, in the headers of its answers, and in how clients trust it."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["PUBLIC"]

_PUBLIC_LIMITS = "src/krakenonce/gateway/public_limits.py"

PUBLIC = (
    Planted(
        "the gateway counts the public calls of all pairs together",
        12,
        _PUBLIC_LIMITS,
        was="    return pairs.pop() if len(pairs) == 1 else ALL_OTHERS\n",
        becomes="    return ALL_OTHERS\n",
        test="tests/integration/gateway/test_public.py::"
        "test_bots_that_watch_different_pairs_do_not_wait_for_each_other",
    ),
    Planted(
        "a public call overtakes those that wait",
        12,
        _PUBLIC_LIMITS,
        was="bucket.level + ahead + 1 - BURST",
        becomes="bucket.level + 1 - BURST",
        test="tests/unit/gateway/test_public_limits.py::test_calls_are_sent_in_the_order_in_which_they_came",
    ),
    Planted(
        "public calls go on at once after Kraken has refused one",
        12,
        "src/krakenonce/gateway/public.py",
        was="            self._limits.fill(place)\n",
        becomes="            pass\n",
        test="tests/integration/gateway/test_public.py::test_calls_wait_once_kraken_itself_has_refused_one",
    ),
    Planted(
        "the gateway remembers every pair",
        12,
        _PUBLIC_LIMITS,
        was="if place.bucket not in self._buckets and len(self) >= BUCKETS:\n",
        becomes="if False:\n",
        test="tests/unit/gateway/test_public_limits.py::test_pairs_that_are_forgotten_had_a_bucket_like_a_new_one",
    ),
    Planted(
        "a public call keeps its place when its client has hung up",
        12,
        "src/krakenonce/gateway/public.py",
        was="            self._limits.leave(place)\n",
        becomes="            pass\n",
        test="tests/integration/gateway/test_public.py::test_a_client_that_hangs_up_does_not_wait",
    ),
    Planted(
        "the gateway does not stop before the public calls that wait",
        12,
        "src/krakenonce/gateway/server.py",
        was="        self._public.close()\n",
        becomes="",
        test="tests/integration/gateway/test_public.py::test_calls_that_wait_are_refused_when_the_gateway_stops",
    ),
    Planted(
        "a client of the gateway does not learn of a challenge page",
        11,
        "src/krakenonce/gateway/headers.py",
        was='PASSED_BACK = ("Date", "Retry-After", "cf-mitigated", "CF-RAY", *OF_GATEWAYS)\n',
        becomes='PASSED_BACK = ("Date", "Retry-After", "CF-RAY", *OF_GATEWAYS)\n',
        test="tests/integration/gateway/test_blocked.py::"
        "test_our_client_behind_the_gateway_learns_of_a_page_that_blocks",
    ),
    Planted(
        "a client of ours calls a gateway whose certificate it does not trust",
        "security",
        "src/krakenonce/kraken/async_transport.py",
        was="aiohttp.TCPConnector(limit=0, ",
        becomes="aiohttp.TCPConnector(limit=0, ssl=False, ",
        test="tests/integration/gateway/test_tls_clients.py::test_clients_in_python_that_are_told_nothing_send_nothing",
    ),
    Planted(
        "with --connect-to any certificate is trusted",
        "security",
        "src/krakenonce/kraken/async_transport.py",
        was="aiohttp.TCPConnector(limit=0, ",
        becomes="aiohttp.TCPConnector(limit=0, ssl=self._connect_to is None, ",
        test="tests/integration/gateway/test_connect_to.py::test_the_certificate_must_be_kraken_s",
    ),
    Planted(
        "with --connect-to the machine's hosts file is asked",
        "security",
        "src/krakenonce/kraken/async_transport.py",
        was="        if self._connect_to is None:\n            return None\n",
        becomes="        if self._connect_to is not None:\n            return None\n",
        test="tests/integration/gateway/test_connect_to.py::test_calls_go_to_the_address_and_ask_for_the_name",
    ),
)

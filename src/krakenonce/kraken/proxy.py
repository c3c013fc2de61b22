"""Which proxy the calls of a client go through, and what it means when it lets none through."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from krakenonce.checks import check_text
from krakenonce.errors import ConfigError, RequestNotSent
from krakenonce.kraken.request import not_sent

if TYPE_CHECKING:
    from collections.abc import Mapping

WANTS_PASSWORD = 407
_OVERLOADED = 500  # from here on a status may pass by itself


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. Neither its repr nor its URL has the user name and the password.

    Args:
        url: Its address.
        host: Host and port, for messages.
        headers: What it is sent besides: the user name and the password.
    """

    url: str
    host: str
    headers: Mapping[str, str] = field(repr=False)


def unsent(call: str, host: str, proxy: Proxy | None, reason: str | int) -> RequestNotSent:
    """Return the error for a call that found no connection.

    Args:
        call: The call, for the message.
        host: Kraken's host.
        proxy: The proxy, if there is one.
        reason: Why, or the HTTP status with which the proxy itself has answered.
    """
    if proxy is None:
        return not_sent(call, host, str(reason))
    if isinstance(reason, str):
        return RequestNotSent(
            f"{call} at {host}: no connection through the proxy {proxy.host} ({reason}). Nothing was sent. Check the "
            "proxy, and its address in HTTPS_PROXY or in proxy=."
        )
    if reason == WANTS_PASSWORD:
        what = "refuses the user name or the password" if proxy.headers else "wants a user name and a password"
        advice = f"Write them into its address, like http://USER:PASSWORD@{proxy.host}."
    elif reason >= _OVERLOADED:
        what, advice = "found no connection", "You may repeat the call."
    else:
        what, advice = "does not let it through", f"Have the proxy allow CONNECT to {host}."
    error = RequestNotSent(
        f"{call} at {host}: the proxy {proxy.host} {what} (HTTP status {reason}). Nothing was sent. {advice}"
    )
    error.may_be_repeated = reason >= _OVERLOADED
    return error


def proxy_for(base_url: str, given: str | None) -> Proxy | None:
    """Return the proxy for an address; None: no proxy.

    Args:
        base_url: The address.
        given: The proxy's URL; None: that of the environment, unless the address is on this machine.

    Raises:
        ConfigError: It is not the address of an HTTP proxy.
    """
    if given is not None:
        check_text("proxy", given)
        where = "proxy"
    else:
        where, given = _in_environment(base_url)
    if given is None:
        return None
    found, is_socks = _read(given), given.startswith("socks")
    del given  # an error keeps the variables of this frame
    if found is not None:
        return found
    if is_socks:
        raise ConfigError(
            f"{where} is a SOCKS proxy; krakenonce uses only HTTP proxies, like http://proxy.example:3128."
        )
    raise ConfigError(
        f"{where} must look like http://proxy.example:3128 or http://USER:PASSWORD@proxy.example:3128, with %40 for an "
        "@ in the password, %2F for a / and %23 for a #."
    )


def _in_environment(base_url: str) -> tuple[str, str | None]:
    """Return the name and the value of the variable for an address, by the rules of Python's urllib."""
    address = urlsplit(base_url)
    if is_here(address.hostname or ""):
        return "", None
    from urllib.request import getproxies, proxy_bypass

    found = getproxies().get(address.scheme)
    if not found or proxy_bypass(address.netloc):
        return "", None
    return f"{address.scheme.upper()}_PROXY", found


def is_address(host: str) -> bool:
    """Return whether a host is an IP address, and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_here(host: str) -> bool:
    """Return whether a host is this machine: no proxy can reach its loopback addresses."""
    if is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _read(url: str) -> Proxy | None:
    """Return the proxy of a URL; None if it is not one."""
    try:
        address = urlsplit(url if "://" in url else f"http://{url}")
        usual = {"http": 80, "https": 443}[address.scheme]
        port = address.port or usual
    except (ValueError, KeyError):
        return None
    host = address.hostname or ""
    rest = address.path.strip("/") + address.query + address.fragment
    if not re.fullmatch(r"[a-z0-9._:-]+", host) or rest:
        return None
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {}
    if address.username is not None:
        pair = f"{unquote(address.username)}:{unquote(address.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(f"{address.scheme}://{shown}", shown, headers)

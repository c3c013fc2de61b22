"""A machine of its own, on which api.kraken.com leads to the gateway on port 443; prints what became of one client.

To be run as root in a network and a mount namespace: python -m tests.runtimes.programs.port_443 FOLDER SETUP WORDS...,
where SETUP is ``machine`` (the hosts file of the whole machine), ``container`` (that of the client alone) or ``loop``
(that of the whole machine, and the gateway is not told Kraken's address), and WORDS start the client. FOLDER has
root.pem, cert.pem and key.pem.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.gateway.local_keys import FILE_NAME, LocalKeys
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.kraken.proxies import Thread, join

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

KRAKEN, GATEWAY = "127.0.0.2", "127.0.0.1"  # both have port 443
SETUPS = {  # where api.kraken.com leads on the machine, and further options of the gateway
    "machine": (GATEWAY, ["--connect-to", KRAKEN]),
    "container": (KRAKEN, []),
    "loop": (GATEWAY, []),
}
PATIENCE = 15.0
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # of linux/sockios.h and linux/if.h


def bring_loopback_up() -> None:
    """Switch on the loopback interface, which a new network namespace has switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        name, flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, _GET_FLAGS, request))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", name, flags | _UP))


def hosts_file(folder: Path, address: str) -> Path:
    """Write a hosts file with the line that the page says."""
    path = folder / f"hosts-{address}"
    path.write_text(f"127.0.0.1 localhost\n{address} api.kraken.com\n", encoding="utf-8")
    return path


@contextlib.contextmanager
def kraken(folder: Path, fake: FakeKraken) -> Iterator[None]:
    """A fake Kraken behind TLS, with a certificate of api.kraken.com."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    with FakeKrakenServer(fake) as server, Thread() as thread:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await join(reader, writer, int(server.url.rpartition(":")[2]))

        thread.listen(serve, tls, KRAKEN, 443)
        yield


def gateway(folder: Path, account: FakeAccount, options: list[str]) -> subprocess.Popen[str]:
    """Start the gateway."""
    words = [sys.executable, "-m", "krakenonce", "gateway", "run", "--listen", f"{GATEWAY}:443"]
    words += ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"), *options]
    env = os.environ | {
        "KRAKEN_MASTER_API_KEY": account.key,
        "KRAKEN_MASTER_API_SECRET": account.secret,
        "SSL_CERT_FILE": str(folder / "root.pem"),  # for the fake Kraken's certificate
    }
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(client: list[str], folder: Path, hosts: Path | None) -> dict[str, Any]:
    """Run the client with a local key, and with a hosts file of its own; return how it ended and what it said."""
    pair = LocalKeys(Path(os.environ["KRAKENONCE_STATE_DIR"]) / FILE_NAME).add("bot", "MASTER", frozenset(("query",)))
    (folder / "pair").write_text(f"{pair.key}\n{pair.secret}\n", encoding="ascii")
    if hosts is not None:
        inside = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        client = ["unshare", "--mount", "sh", "-c", inside, "sh", *client]
    env = os.environ | {"API_KEY": pair.key, "API_SECRET": pair.secret}
    try:
        done = subprocess.run(client, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as gave_up:
        return {"code": None, "said": (gave_up.stderr or b"").decode()}
    return {"code": done.returncode, "said": done.stdout + done.stderr}


def main() -> None:
    """Set the machine up, run the client, and print what became of it."""
    folder, setup, client = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    address, options = SETUPS[setup]
    bring_loopback_up()
    subprocess.run(["/usr/bin/env", "mount", "--bind", str(hosts_file(folder, address)), "/etc/hosts"], check=True)
    fake = FakeKraken()
    account = fake.add_account("MASTER", balances={"ZUSD": "12345"})
    with kraken(folder, fake), gateway(folder, account, options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            if process.stdout.readline():
                said = result_of(client, folder, hosts_file(folder, GATEWAY) if setup == "container" else None)
            else:
                said = {"code": process.wait(PATIENCE), "said": process.stderr.read()}
        finally:
            process.terminate()
    print(json.dumps(said | {"arrivals": len(fake.arrivals), "accepted": len(fake.accepted())}))


if __name__ == "__main__":
    main()

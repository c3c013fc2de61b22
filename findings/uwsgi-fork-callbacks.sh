#!/usr/bin/env bash
# uWSGI 2.0.31 with CPython 3.11 on Linux. Needs a C compiler and Python's headers.
# Which callbacks of os.register_at_fork() run when uWSGI's master forks a worker, after it has loaded the application.
# One would expect all three, as with os.fork(), since the application is Python.
# Seen: by default none. With --py-call-osafterfork only the one for the child, so a lock that "before" takes, and
# "after_in_child" releases, was never taken. With --py-call-uwsgi-fork-hooks "before" and "after_in_child".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uWSGI==2.0.31
cat >"$folder/app.py" <<'PYTHON'
import os

ran = []
os.register_at_fork(
    before=lambda: ran.append("before"),
    after_in_parent=lambda: ran.append("parent"),
    after_in_child=lambda: ran.append("child"),
)


def application(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(ran).encode() or b"none"]
PYTHON
callbacks_with() {
    "$folder/venv/bin/uwsgi" --master --processes 1 --http-socket 127.0.0.1:0 --chdir "$folder" --module app \
        "$@" >"$folder/log" 2>&1 &
    uwsgi=$!
    until port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) (port auto-assigned).*/\1/p' "$folder/log" | head -n 1) &&
        test "$port" && grep -q "spawned uWSGI worker 1" "$folder/log"; do
        kill -0 "$uwsgi"
        sleep 0.1
    done
    python3 -c "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:$port').read().decode())"
    kill -QUIT "$uwsgi"
    wait "$uwsgi" || true
}
said="default: $(callbacks_with)
py-call-osafterfork: $(callbacks_with --py-call-osafterfork)
py-call-uwsgi-fork-hooks: $(callbacks_with --py-call-uwsgi-fork-hooks)"
echo "$said"
test "$said" = "default: none
py-call-osafterfork: child
py-call-uwsgi-fork-hooks: before child"

#!/usr/bin/env bash
# eventlet 0.41.3, greenlet 3.5.6, CPython 3.11 on Linux.
# After eventlet.monkey_patch(), os.write() and os.read() on a pipe let other green threads run first, even if the pipe
# is ready. One would expect that only a call that has to wait does so. So code that writes one byte to a pipe inside a
# section that other green threads must not enter is interrupted there.
# Seen: the other green thread runs between "before" and "after" the write; os.writev() and posix.write() do not switch.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet eventlet==0.41.3 greenlet==3.5.6
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import eventlet

eventlet.monkey_patch()
import os
import posix


def order(write):
    heard, rung = os.pipe()
    seen = []

    def writes():
        seen.append("before")
        write(rung)
        seen.append("after")

    threads = [eventlet.spawn(writes), eventlet.spawn(seen.append, "other")]
    for thread in threads:
        thread.wait()
    return " ".join(seen)


print("os.write:", order(lambda fd: os.write(fd, b"!")))
print("os.writev:", order(lambda fd: os.writev(fd, [b"!"])))
print("posix.write:", order(lambda fd: posix.write(fd, b"!")))
PYTHON
)
echo "$said"
test "$said" = "os.write: before other after
os.writev: before after other
posix.write: before after other"

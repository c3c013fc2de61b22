"""The ways in which programs let gevent or eventlet replace what blocks in the standard library."""

from __future__ import annotations

import warnings


def patch(name: str) -> None:
    """Patch this process before it imports anything that waits."""
    if name.startswith("gevent"):
        from gevent import monkey

        {
            "gevent": monkey.patch_all,
            "gevent without thread": lambda: monkey.patch_all(thread=False),
            "gevent socket": monkey.patch_socket,
        }[name]()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet says at its import that it is deprecated
        import eventlet
    eventlet.monkey_patch(**({"thread": False} if name == "eventlet without thread" else {}))

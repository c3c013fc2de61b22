"""What backends on a server have in common: each is one object, which is neither copied nor pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from krakenonce.shown import whole

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Shared


class OnServer:
    """A backend whose ``_link`` leads to a server. Two objects with one connection would close it under each other."""

    shared: Shared = "hosts"
    _link: Any

    @property
    def place(self) -> str:
        """The URL, without a password."""
        url: str = self._link.server.url
        return url

    @whole
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} cannot be pickled: make another one with the same URL")

"""The pages of the site: where each comes from, and whether all its links lead somewhere.

They are laid out as they lie in the repository, with the files that they link to. So a link means the same in both.
"""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["lay_pages", "problems"]

SOURCES = ("*.md", "docs/**/*.md", "docs/site.css", "bench/results/*.md")

_LINK = re.compile(r"\]\(([^)#:\s]+)")


def lay_pages(root: Path, pages: Path) -> None:
    """Copy the Markdown files of a repository, and each file that one of them links to."""
    shutil.rmtree(pages, ignore_errors=True)
    for source in (found for pattern in SOURCES for found in root.glob(pattern)):
        linked = [source.parent / target for target in _LINK.findall(source.read_text(encoding="utf-8"))]
        for file in (source, *(path.resolve() for path in linked if path.is_file())):
            copy = pages / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def problems(site: Path) -> list[str]:
    """Return what is wrong with the links of a site: one line each."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        found += [f"{where} loads {load} from elsewhere" for load in sorted(page.loads) if urlsplit(load).netloc]
        for link in sorted(page.links | page.loads):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            base = site if address.path.startswith("/") else path.parent
            target = (base / unquote(address.path).lstrip("/")).resolve() if address.path else path
            if not target.is_file():
                found.append(f"{where} links to {link}, which does not exist")
            elif address.fragment and target in pages and unquote(address.fragment) not in pages[target].ids:
                found.append(f"{where} links to {link}, and there is no such anchor")
    return found


class _Page(HTMLParser):
    """What a page refers to, and what in it can be referred to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()  # to where a reader may go
        self.loads: set[str] = set()  # what the browser gets for the page itself
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag says."""
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.ids.add(value)
            elif value and name in ("href", "src"):
                (self.links if tag == "a" else self.loads).add(value)

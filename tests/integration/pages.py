"""The pages of the documentation, and the code in them."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a page."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def programs(page: Path) -> list[str]:
    """The Python blocks that run by themselves."""
    return [block for block in blocks(page, "python") if _file(block) is None]


def modules(page: Path) -> dict[str, str]:
    """The files that a reader writes: all blocks that begin with the same file name are one."""
    found: dict[str, str] = {}
    for block in blocks(page, "python"):
        if name := _file(block):
            found[name] = found.get(name, "") + block
    return found


def _file(block: str) -> str | None:
    first = re.match(r"# (\w+\.py)\n", block)
    return first and first[1]

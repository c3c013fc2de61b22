"""The documentation site: its links lead somewhere, and it shows docstrings as readers need them."""

from pathlib import Path

import griffe
import pytest

from docs.docstrings import Docstrings
from docs.pages import lay_pages, problems

ROOT = Path(__file__).parents[2]
PROCEDURE = '''
def place(calls: Calls, /, pair: str) -> Steps[Placed]:
    """Place an order, see :class:`~krakenonce.Kraken`.

    Args:
        calls: The key's calls.
        pair: Such as XBTUSD.
    """
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages without a fault."""
    (tmp_path / "how-to").mkdir()
    (tmp_path / "index.html").write_text('<h1 id="top">A</h1><a href="how-to/b.html#c%20d">b</a> <a href="#top">a</a>')
    (tmp_path / "how-to" / "b.html").write_text(
        '<i id="c d">B</i><a href="../index.html">a</a><a href="/index.html">a</a><a href="https://x.y">'
    )
    return tmp_path


def test_a_sound_site_has_no_problems(site: Path) -> None:
    """Links to pages, to anchors and to other sites."""
    assert problems(site) == []


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="gone.html">', "links to gone.html, which does not exist"),
        ('<a href="how-to">', "links to how-to, which does not exist"),
        ('<a href="/gone.html">', "links to /gone.html, which does not exist"),
        ('<img src="gone.png">', "links to gone.png, which does not exist"),
        ('<a href="#gone">', "links to #gone, and there is no such anchor"),
        ('<a href="index.html#gone">', "links to index.html#gone, and there is no such anchor"),
        ('<script src="https://x.y/z.js"></script>', "loads https://x.y/z.js from elsewhere"),
        ('<link href="//x.y/font.css">', "loads //x.y/font.css from elsewhere"),
    ],
)
def test_a_link_that_leads_nowhere_is_a_problem(site: Path, html: str, problem: str) -> None:
    """So is what the browser would load from another host."""
    (site / "new.html").write_text(html)
    assert problems(site) == [f"new.html {problem}"]


def test_the_pages_lie_as_in_the_repository(tmp_path: Path) -> None:
    """With the files that they link to, and without any other."""
    root, pages = tmp_path / "root", tmp_path / "pages"
    for name, text in {
        "README.md": "[a](docs/a.md#b) and [c](tests/c.py)",
        "docs/a.md": "[up](../README.md)",
        "tests/c.py": "",
        "tests/d.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    lay_pages(root, pages)
    lay_pages(root, pages)
    found = sorted(str(path.relative_to(pages)) for path in pages.rglob("*") if path.is_file())
    assert found == ["README.md", "docs/a.md", "tests/c.py"]


def test_a_procedure_is_shown_as_the_method_that_it_becomes(tmp_path: Path) -> None:
    """Without its first argument, with its result; and a role of Sphinx's is a name."""
    (tmp_path / "orders.py").write_text(PROCEDURE)
    module = griffe.load("orders", search_paths=[tmp_path], extensions=griffe.load_extensions(Docstrings))
    place = module["place"]
    assert [parameter.name for parameter in place.parameters] == ["pair"]
    assert str(place.returns) == "Placed"
    assert place.docstring.value == "Place an order, see `krakenonce.Kraken`.\n\nArgs:\n    pair: Such as XBTUSD."


def test_every_page_is_in_the_menu() -> None:
    """A page that is not in zensical.toml is found only by those who know its address."""
    menu = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]]
    assert [page for page in pages if f'"{page}"' not in menu] == []

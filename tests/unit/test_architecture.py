"""The shape of the package: what importing costs, which way imports point, and what the root offers."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import krakenonce

SOURCE = Path(krakenonce.__file__).parent
LAYERS = [  # each may import those above it
    {"_version", "errors", "extras", "shown"},
    {"rule", "clock", "checks", "native", "process"},
    {"backends", "journal"},
    {"key", "manager"},
    {"global_manager", "guards", "kraken"},
    {"running"},
    {"brokers"},
    {"gateway"},
    {"moving"},
    {"doctor"},
    {"testing"},
    {"cli", "__main__"},
]
EXTRAS = {"postgres": "psycopg", "redis": "redis"}  # the library of each backend that has an extra
CORE = {
    "_version",
    "errors",
    "extras",
    "shown",
    "rule",
    "clock",
    "checks",
    "native",
    "process",
    "backends",
    "journal",
    "key",
    "manager",
}
CORE |= {"global_manager"}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HOOKS = SOURCE / "__pyinstaller"  # no part of a program: PyInstaller runs them when it builds one
MODULES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py" and path.parent != HOOKS
)


def imports(module: Path) -> list[tuple[str, bool]]:
    """What a module imports: the full name, and whether it is ours."""
    found = []
    for node in ast.walk(ast.parse((SOURCE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return [(name, name.split(".")[0] == "krakenonce") for name in found]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module: Path) -> None:
    """A layer imports only layers below it; only the command line imports the test kit."""
    layer = RANK[module.parts[0].removesuffix(".py")]
    for name, is_ours in imports(module):
        if is_ours and "." in name:
            other = name.split(".")[1]
            assert RANK[other] <= layer, f"{module} imports {name}"
            if other == "testing":
                assert module.parts[0] in ("testing", "cli"), f"{module} imports the test kit"


@pytest.mark.parametrize("module", [Path("rule.py"), Path("kraken/wire.py")], ids=str)
def test_the_pure_rules_know_nothing_but_the_errors(module: Path) -> None:
    """Arithmetic and encoding import nothing of ours but errors."""
    ours = {name for name, is_ours in imports(module) if is_ours}
    assert ours <= {"krakenonce.errors"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0].removesuffix(".py") in CORE], ids=str)
def test_the_core_needs_the_standard_library_alone(module: Path) -> None:
    """From errors to the global manager, no third-party import, but in a backend that has an extra."""
    own = {EXTRAS[module.parts[1]]} if module.parts[0] == "backends" and module.parts[1] in EXTRAS else set()
    for name, is_ours in imports(module):
        assert is_ours or name.split(".")[0] in sys.stdlib_module_names | own


def test_the_root_offers_what_it_says() -> None:
    """Every name in __all__ is there when asked for, and no other public name is, but modules."""
    for name in krakenonce.__all__:
        assert hasattr(krakenonce, name)
    with pytest.raises(AttributeError, match="no attribute 'nonce_manager'"):
        krakenonce.nonce_manager  # type: ignore[attr-defined] # noqa: B018 - asking is the test
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.name for path in SOURCE.iterdir() if path.is_dir()}
    public = (
        {name for name in vars(krakenonce) if name[0] not in "_@"}  # pytest marks the packages of its plugins with an @
        - modules
        - {"TYPE_CHECKING", "annotations"}
    )
    assert public <= set(krakenonce.__all__)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_offers_what_it_says(module: Path) -> None:
    """Every name in a module's __all__ exists."""
    if module.name == "__main__.py":
        return
    name = ".".join(["krakenonce", *module.with_suffix("").parts]).removesuffix(".__init__")
    loaded = importlib.import_module(name)
    for offered in getattr(loaded, "__all__", ()):
        assert hasattr(loaded, offered), f"{name}.{offered}"


def test_importing_does_nothing() -> None:
    """`import krakenonce` starts no thread, opens no file or socket, and loads neither asyncio nor HTTP."""
    code = (
        "import os, sys, threading\n"
        "fds = set(os.listdir('/dev/fd'))\n"
        "import krakenonce\n"
        "assert threading.active_count() == 1\n"
        "assert len(set(os.listdir('/dev/fd')) - fds) == 0\n"
        "heavy = {'asyncio', 'socket', 'ssl', 'urllib3', 'aiohttp', 'click', 'rich', 'krakenonce.kraken'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_credentials_loads_no_http_library() -> None:
    """A name of `krakenonce.brokers` is loaded when it is asked for; another one is an AttributeError."""
    code = (
        "import sys\n"
        "import krakenonce.brokers as brokers\n"
        "brokers.load_accounts({})\n"
        "heavy = {'asyncio', 'urllib3', 'aiohttp', 'krakenonce.kraken.client'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert brokers.BrokerManager.__name__ == 'BrokerManager'\n"
        "assert not hasattr(brokers, 'Broker')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_making_a_manager_opens_nothing(tmp_path: Path) -> None:
    """Constructors do not act: no directory appears before the first number."""
    state = tmp_path / "state"
    manager = krakenonce.NonceManager(state)
    manager.lane("key")
    assert manager.peek() is None
    assert not state.exists()
    manager.next()
    assert state.exists()


def test_the_map_names_every_module() -> None:
    """The map in design.md has each module, in its folder."""
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    named, folder = set(), {0: ""}  # by depth
    for line in page.split("\nsrc/krakenonce/\n")[1].split("\ntests/")[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        first = line.split()[0]
        if first.endswith("/"):
            folder[depth] = folder[depth - 1] + first
        here = folder[depth if first.endswith("/") else depth - 1]
        named |= {here + name for name in re.findall(r"[a-z_]+\.py", line)}
    assert {str(module) for module in MODULES if module.name[0] != "_"} - named == set()

"""Programs that are built of krakenonce, as PyInstaller builds them: the files that are no modules come along."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import krakenonce

PACKAGE = Path(krakenonce.__file__).parent


def test_the_hook_names_every_file_that_is_no_module() -> None:
    """PyInstaller finds the hook by the entry point, and takes along what it names, to where the gateway looks."""
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (directory,) = resolve_name(project["entry-points"]["pyinstaller40"]["hook-dirs"])()
    named = set()
    for hook in Path(directory).glob("hook-*.py"):
        assert resolve_name(hook.stem.removeprefix("hook-"))
        named |= {(Path(source), Path(to)) for source, to in runpy.run_path(str(hook))["datas"]}
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    needed = {path for path in files if path.name != "py.typed"}  # which only type checkers read
    assert {(path, Path("krakenonce") / path.parent.relative_to(PACKAGE)) for path in needed} == named
    assert len(named) >= 3


def test_a_gateway_without_its_page_does_not_start(tmp_path: Path) -> None:
    """It says so in one line, at the start and not when somebody opens the page."""
    copy = tmp_path / "copy" / "krakenonce"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "status.html"))
    environment = os.environ | {
        "PYTHONPATH": str(copy.parent),
        "KRAKEN_MASTER_API_KEY": "key",
        "KRAKEN_MASTER_API_SECRET": "c2VjcmV0",
    }
    words = ("-m", "krakenonce", "gateway", "run", "--listen", "127.0.0.1:0", "--state", str(tmp_path / "state"))
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (1, "")
    assert last.startswith("krakenonce: the file status.html of the status page is missing: install krakenonce again")
    assert "Traceback" not in done.stderr

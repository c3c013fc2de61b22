"""Builds the documentation into site/: ``make docs``. A broken link, a broken anchor or an unknown name fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from docs.pages import lay_pages, problems

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"


def main() -> int:
    """Build the site, check it, and return the exit code."""
    lay_pages(ROOT, ROOT / "build" / "docs")
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if built.returncode:
        said, _, trace = re.sub(r"\x1b\[[\d;]*m", "", built.stdout + built.stderr).partition("Traceback ")
        print(said, *trace.splitlines()[-1:])
        return 1
    found = problems(SITE)
    if found:
        print(*found, sep="\n")
        return 1
    print("the documentation is in site/: open site/index.html, or serve it, which its search needs:")
    print("python3 -m http.server --directory site")
    return 0


if __name__ == "__main__":
    sys.exit(main())

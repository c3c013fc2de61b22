"""The files of the gateway's status page, which no import shows to PyInstaller."""

from pathlib import Path

_PAGE = Path(__file__).parents[1] / "gateway" / "page"
datas = [(str(file), "krakenonce/gateway/page") for file in sorted(_PAGE.iterdir())]
# Imported when they are first needed.
hiddenimports = ["krakenonce.gateway.metrics"]

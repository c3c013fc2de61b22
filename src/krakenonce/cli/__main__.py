"""``python -m krakenonce.cli``."""

from __future__ import annotations

import sys

from krakenonce.cli import main

sys.exit(main())

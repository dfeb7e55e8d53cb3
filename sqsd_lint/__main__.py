"""`python -m sqsd_lint` is `sqsd-lint`."""

from __future__ import annotations

import sys

from sqsd_lint.cli.process import start

if __name__ == "__main__":
    sys.exit(start())

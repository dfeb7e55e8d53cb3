"""`python -m sqsd_lint` is `sqsd-lint`."""

from __future__ import annotations

import sys

from sqsd_lint.cli.app import main

if __name__ == "__main__":
    sys.exit(main())

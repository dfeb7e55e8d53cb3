"""Draws `docs/images/report.svg`: what `sqsd-lint check examples/data` prints, 100 columns wide."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "report.svg"
COMMAND = "sqsd-lint check examples/data"
COLUMNS = 100


def main() -> None:
    """Runs the real command, so that the picture shows what a reader will see."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "PYTHONUTF8": "1"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.replace("sqsd-lint", "sqsd_lint").split(), "--no-progress"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    if "\x1b[" not in done.stdout:
        sys.exit(f"`{COMMAND}` printed no colours, exit code {done.returncode}: nothing drawn.")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "green"), COMMAND))
    console.print(Text.from_ansi(done.stdout))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    # A fixed id: the same report gives the same file.
    TARGET.write_text(console.export_svg(title="sqsd-lint", unique_id="report"), encoding="utf-8")
    print(TARGET.relative_to(ROOT))


if __name__ == "__main__":
    main()

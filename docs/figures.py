"""Draws the pictures of the README and the docs: `make figures`.

docs/images/report.svg        what `sqsd-lint check examples/data` prints, 100 columns wide
docs/images/validation-*.svg  the risk-window experiments whose results lie in docs/results/
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sqsd_lint.validate.plot import plot

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "docs" / "results"
COMMAND = "sqsd-lint check examples/data"
COLUMNS = 100


def draw_report() -> None:
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
    target = IMAGES / "report.svg"
    # A fixed id: the same report gives the same file.
    target.write_text(console.export_svg(title="sqsd-lint", unique_id="report"), encoding="utf-8")
    print(target.relative_to(ROOT))


def draw_validation() -> None:
    """One picture per stored result, light and dark."""
    for path in sorted(RESULTS.glob("validation-*.json")):
        kind = path.stem.removeprefix("validation-")
        result = json.loads(path.read_text(encoding="utf-8"))
        for suffix, dark in (("", False), ("-dark", True)):
            target = IMAGES / f"{path.stem}{suffix}.svg"
            plot(result, target, dark=dark, title=f"{kind.replace('-', ' ')} directions: ")
            print(target.relative_to(ROOT))


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw_validation()
    draw_report()


if __name__ == "__main__":
    main()

"""A commit under the hook when every row is known, against `python -c "import torch"`.

Four ways, each the median of several runs: the native hook on new rows that the cache knows, pre-commit and
prek on all files, and the native hook on a file whose rows only stand in another order. As in cached_run.py,
the scores in the cache are made up; everything else is the real command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cached_run import fill, median_seconds

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PERSON = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(*args: str, cwd: Path) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path) -> None:
    """Makes `folder`, which holds data, a repository with both kinds of hook."""
    hooks = folder / "hook-repository"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    for path in (hooks, folder):
        git("init", "-q", cwd=path)
    git("add", ".", cwd=hooks)
    git("commit", "-qm", "hooks", cwd=hooks)
    shutil.copy(ROOT / "hooks" / "pre-commit", folder / ".git" / "hooks")
    revision = git("rev-parse", "HEAD", cwd=hooks)
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos: [{{repo: {hooks}, rev: {revision}, hooks: [id: sqsd-lint-system]}}]\n"
    )
    (folder / ".git" / "info" / "exclude").write_text("hook-repository\ncache\n.pc\n.prek\n")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", type=int, default=2000)
    p.add_argument("--runs", type=int, default=7)
    args = p.parse_args()
    os.environ.update(PERSON, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}", GIT_CONFIG_NOSYSTEM="1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = fill(folder, args.rows)
        os.chdir(folder)
        repository(folder)
        warm = {
            "SQSD_LINT_CACHE_DIR": str(folder / "cache"),
            "PRE_COMMIT_HOME": str(folder / ".pc"),
            "PREK_HOME": str(folder / ".prek"),
        }
        hook = [str(folder / ".git" / "hooks" / "pre-commit")]
        times = {}
        git("add", ".pre-commit-config.yaml", str(data), cwd=folder)
        times["native hook, cached rows"] = median_seconds(hook, args.runs, **warm)
        for tool in ("pre-commit", "prek"):
            command = [str(BIN / tool), "run", "--all-files"]
            times[f"{tool}, cached rows"] = median_seconds(command, args.runs, **warm)
        git("commit", "-qnm", "data", cwd=folder)
        data.write_text("".join(reversed(data.read_text().splitlines(keepends=True))))
        git("add", str(data), cwd=folder)
        times["native hook, no new row"] = median_seconds(hook, args.runs, **warm)
        torch = median_seconds([sys.executable, "-c", "import torch"], args.runs)
    for what, seconds in times.items():
        print(f"{f'{what}, {args.rows} rows':34}  {seconds:.2f} s  {seconds / torch:.2f}x")
    print(f"{'python -c `import torch`':34}  {torch:.2f} s")


if __name__ == "__main__":
    main()

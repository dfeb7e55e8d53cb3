"""The real command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "datasets", "peft", "pyarrow", "accelerate", "jsonschema")


def sqsd_lint(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SQSD_LINT_")}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environ}
    return subprocess.run(
        [sys.executable, "-m", "sqsd_lint", *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
    )


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["check", "--help"], 0),
        (["rule", "SQSD101"], 0),
        (["check", "--no-such-option"], 2),
        (["chekc"], 2),
        (["check", "--bundle", "no-such-bundle"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_exit_codes(args: list[str], code: int, tmp_path: Path) -> None:
    done = sqsd_lint(*args, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert bool(done.stderr) == (code != 0)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["check", "--help"], ["bundle", "--help"], ["rule", "--all"], ["clean"]],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(args: list[str], tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from sqsd_lint.cli.app import main\n"
        "result = main(sys.argv[1:])\n"
        f"print(json.dumps([result, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SQSD_LINT_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_closed_pipe_is_survived_in_silence(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m sqsd_lint rule --all | head -c 1; echo ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout in ("#0\n", "#3\n")
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_is_not_utf8(encoding: str, tmp_path: Path) -> None:
    done = sqsd_lint("rule", "--all", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    done = sqsd_lint("check", "--bundle", "é界", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 3
    assert "UnicodeEncodeError" not in done.stderr


def begin(*args: str, cwd: Path, code: str = "") -> subprocess.Popen[str]:
    """The command in a process of its own, that runs `code` at the start of its imports."""
    (cwd / "hold").mkdir(exist_ok=True)
    (cwd / "hold" / "typer.py").write_text(code) if code else None
    return subprocess.Popen(
        [sys.executable, "-m", "sqsd_lint", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(cwd / "hold"), str(ROOT)))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, SIGINT is ignored, and so it would be here.
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None,
    )


SIGNALS = [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and file numbers of POSIX")


@posix
@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_during_imports_is_one_line(number: int, word: str, tmp_path: Path) -> None:
    process = begin(
        "check", cwd=tmp_path, code=f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n"
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (3, "", f"error: {word}\n")


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="asks Linux whether the command has begun"
)
@pytest.mark.parametrize(("number", "word"), SIGNALS)
def test_a_signal_while_rows_are_read_is_told(number: int, word: str, tmp_path: Path) -> None:
    process = begin("check", "-", "--bundle", "default", "--no-progress", cwd=tmp_path)
    assert process.stdin is not None
    process.stdin.write('{"prompt": "Hi", "completion": "Ho"}\n')
    process.stdin.flush()
    # It reads on until the pipe ends, and says nothing until then.
    deadline = time.monotonic() + 50
    while not is_started(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    try:
        code = process.wait(timeout=50)
    finally:
        process.kill()
    assert process.stderr is not None
    err = process.stderr.read()
    assert (code, "Traceback" in err) == (3, False), err
    assert f"error: {word}" in err


def is_started(pid: int) -> bool:
    """Whether the command has begun: from then on it catches SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


CLOSED = ["<&-", "<&- >&-", "<&- >&- 2>&-"]


@posix
@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(
    ("args", "code"),
    [("--version", 0), ("check --bundle no-such-bundle", 3), ("check -", 3)],
)
def test_closed_streams_change_no_exit_code(args: str, code: int, closed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m sqsd_lint {args} {closed}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "This is a bug" not in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_an_interrupt_within_an_exec_ends_in_words_too(tmp_path: Path) -> None:
    process = begin(
        "check",
        cwd=tmp_path,
        code=f"exec('import os, time; os.kill(os.getpid(), {int(signal.SIGINT)}); time.sleep(60)')\n",
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (3, "", "error: interrupted\n")

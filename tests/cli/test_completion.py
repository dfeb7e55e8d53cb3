"""Tab in a real shell, and the options that set it up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.cli import completion
from sqsd_lint.cli.app import main
from sqsd_lint.rules.registry import RULES
from tests.cli.test_process import ROOT, sqsd_lint

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder, and the command on a path of its own."""
    home = tmp_path_factory.mktemp("home")
    command = home / "bin" / "sqsd-lint"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m sqsd_lint \"$@\"\n")
    command.chmod(0o755)
    return home


def bash(home: Path, script: str) -> str:
    assert BASH
    environ = {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    # A real bash below a real bash: completion scripts are for the shell that the command finds above itself.
    done = subprocess.run(
        [BASH, "--norc", "-c", script], cwd=home, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def complete(home: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words, with the script that the command itself prints."""
    quoted = " ".join(f"'{word}'" for word in ("sqsd-lint", *words))
    script = f"""
        eval "$(sqsd-lint --show-completion)"
        COMP_WORDS=({quoted}) COMP_CWORD={len(words)}
        $(complete -p sqsd-lint | sed 's/.*-F \\([^ ]*\\) .*/\\1/') sqsd-lint
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return bash(home, script).split()


needs_bash = pytest.mark.skipif(BASH is None, reason="bash is not installed")


@needs_bash
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sc",), ["score"]),
        (("--thr",), ["--threshold"]),
        (("data/", "--warn"), ["--warning-threshold"]),
        (("check", "--metric", "c"), ["cosine"]),
        (("--turns", ""), ["all", "last"]),
        (("--rules", "s"), ["strict"]),
        (("check", "--select", "SQSD101,SQSD30"), [f"SQSD101,SQSD30{n}" for n in (1, 2, 3, 4, 5)]),
        (("rule", "SQSD30"), ["SQSD301", "SQSD302", "SQSD303", "SQSD304", "SQSD305"]),
        (("--bundle", "smol"), ["smollm2-135m-default"]),
        (("--output-format", "j"), ["json", "jsonl", "junit"]),
        (("config", "s"), ["show", "schema"]),
        (("bundle", "ver"), ["verify"]),
        (("nonsense.jsonl",), []),
        (("chekc", "--thr"), []),
    ],
    ids=" ".join,
)
def test_bash_completes(home: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(home, *words) == expected


@needs_bash
def test_the_first_word_is_a_command_or_a_path(home: Path) -> None:
    offered = complete(home, "")
    assert {"check", "score", "bundle", "rule", "config", "doctor", "clean"} <= set(offered)
    assert "-o default" in bash(home, 'eval "$(sqsd-lint --show-completion)"; complete -p sqsd-lint')


@needs_bash
def test_a_hyphen_offers_the_options_of_a_check_too(home: Path) -> None:
    offered = complete(home, "--")
    assert {"--version", "--threshold", "--output-format", "--install-completion"} <= set(offered)


@needs_bash
def test_installing_it_changes_bashrc_once(home: Path) -> None:
    for _ in range(2):
        assert "completion installed" in bash(home, "sqsd-lint --install-completion; exit $?")
    assert (home / ".bashrc").read_text().count("sqsd-lint") == 1


@pytest.mark.parametrize("option", completion.OPTIONS)
def test_an_unknown_shell_is_wrong_usage(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shellingham

    monkeypatch.setattr(shellingham, "detect_shell", lambda *args, **options: ("tcsh", "/bin/tcsh"))
    assert main([option]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["sqsd-lint chekc --x ", "sqsd-lint check --columns ", "sqsd-lint ' "])
def test_a_line_that_makes_no_sense_yet_gives_nothing(words: str, tmp_path: Path) -> None:
    done = sqsd_lint(
        cwd=tmp_path, _SQSD_LINT_COMPLETE="complete_bash", COMP_WORDS=words.replace(" ", "\n"), COMP_CWORD="3"
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_an_unknown_protocol_is_wrong_usage(tmp_path: Path) -> None:
    done = sqsd_lint(cwd=tmp_path, _SQSD_LINT_COMPLETE="complete_tcsh")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_codes_complete_the_last_of_several() -> None:
    assert completion.codes("") == list(RULES)
    assert completion.codes("sqsd10") == ["SQSD101", "SQSD102"]
    assert completion.codes("SQSD2,SQSD401") == ["SQSD2,SQSD401"]


def test_completion_needs_nothing_heavy(tmp_path: Path) -> None:
    probe = (
        "import sys; from sqsd_lint.cli.app import main; assert main([]) == 0;"
        "assert not {'torch', 'transformers', 'pyarrow', 'numpy', 'jsonschema'} & set(sys.modules)"
    )
    environ = {
        "_SQSD_LINT_COMPLETE": "complete_bash",
        "COMP_WORDS": "sqsd-lint\n--bundle\n",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

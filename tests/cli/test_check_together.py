"""`sqsd-lint check --bundle A --bundle B`: what names the bundles, and the real command with two of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from tests.cli.conftest import FakePipeline
from tests.repository import Repository

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."} for i in range(8)]
HEAVY = ("torch", "transformers", "peft", "accelerate", "numpy", "pyarrow")
CODE = (
    "import json, sys\n"
    "from sqsd_lint.cli.app import main\n"
    "code = main(sys.argv[1:])\n"
    f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
    "print(json.dumps([code, loaded]), file=sys.stderr)\n"
)


def asked(pipeline: FakePipeline, *args: str) -> tuple[str | None, tuple[str, ...], str]:
    assert main(["check", *args]) == 0
    assert pipeline.settings is not None
    return pipeline.settings.bundle, pipeline.settings.opinions, pipeline.settings.consensus


def test_the_command_line_names_one_bundle_or_several(pipeline: FakePipeline) -> None:
    assert asked(pipeline) == (None, (), "majority")
    assert asked(pipeline, "--bundle", "a") == ("a", (), "majority")
    several = ("--bundle", "a", "--bundle", "b", "--consensus", "all")
    assert asked(pipeline, *several) == ("a", ("a", "b"), "all")


def test_the_configuration_names_several_and_the_command_line_overrides_them(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bundles/b").mkdir(parents=True)
    Path("bundles/sqsd-lint.toml").write_text('bundle = ["a", "b", "hf://o/c"]\nconsensus = "any"\n')
    config = ("--config", "bundles/sqsd-lint.toml")
    named = ("a", os.path.join("bundles", "b"), "hf://o/c")
    assert asked(pipeline, *config) == ("a", named, "any")
    assert asked(pipeline, *config, "--bundle", "d") == ("d", (), "any")
    capsys.readouterr()
    assert main(["config", "show", "--json", *config]) == 0
    shown = json.loads(capsys.readouterr().out)["settings"]
    assert shown["bundle"] == {"value": list(named), "origin": "bundles/sqsd-lint.toml"}
    assert shown["consensus"]["value"] == "any"


def test_the_bundles_of_a_commit_keep_their_places(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repository.here(tmp_path / "repo", monkeypatch)
    repo.write("sqsd-lint.toml", 'bundle = ["./one", "./two", "hf://o/c"]\n')
    repo.write("data/a.jsonl", "")
    repo.commit()
    repo.write("sqsd-lint.toml", 'bundle = "./three"\n')
    monkeypatch.chdir("data")
    places = (os.path.join("..", "one"), os.path.join("..", "two"), "hf://o/c")
    assert asked(pipeline, "--policy-ref", "HEAD") == (places[0], places, "majority")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bundle = []", '"bundle" is []'),
        ("bundle = [1]", '"bundle" is 1'),
        ('consensus = "most"', 'expected one of "any", "majority", "all"'),
    ],
)
def test_wrong_settings_are_named(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    Path("sqsd-lint.toml").write_text(text)
    assert main(["check"]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_consensus_is_wrong_usage(
    pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--consensus", "majorty"]) == 2
    assert 'Did you mean "majority"?' in capsys.readouterr().err


@pytest.fixture
def lint(two_bundles: tuple[str, str], tiny_model_folder: Path, tmp_path: Path) -> Command:
    """Runs the command with both bundles in an empty folder; the last line of stderr tells what it loaded."""

    def run(command: str, *args: str) -> subprocess.CompletedProcess[str]:
        bundles = [word for bundle in two_bundles for word in ("--bundle", bundle)]
        device = ["--device", "cpu", "--dtype", "float32", "--model", str(tiny_model_folder)]
        lines = ["--threshold", "p60", "--warning-threshold", "p20"]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SQSD_LINT_")}
        return subprocess.run(
            [sys.executable, "-c", CODE, *command.split(), *bundles, *device, *lines, *args],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environ, "SQSD_LINT_CACHE_DIR": str(tmp_path / "cache"), "NO_COLOR": "1"},
            timeout=300,
        )

    return run


@pytest.mark.slow
def test_the_real_command(lint: Command, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    done = lint("check data.jsonl --output-format json", "--consensus", "any")
    assert done.returncode == 0, done.stderr
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert (code, "torch" in loaded) == (1, True)
    report = json.loads(done.stdout)
    assert (report["coverage"]["scored"], report["coverage"]["rows"]) == (8, 8)
    assert [head["bundle_id"] for head in report["head"]["bundles"]] == ["tiny", "two"]
    errors = {v["line"] for v in report["violations"] if v["rule"] == "SQSD101" and v["line"]}

    text = lint("check data.jsonl", "--consensus", "all")
    assert json.loads(text.stderr.splitlines()[-1])[1] == [], "a cached run needs nothing heavy"
    assert "2 bundles judge every row; 2 must find it risky (consensus: all)" in text.stdout
    assert "finds it risky: " in text.stdout
    assert "scored 8 of 8 rows · 8 from cache" in text.stdout

    accepted = lint("baseline create data.jsonl", "--consensus", "any")
    assert json.loads(accepted.stderr.splitlines()[-1]) == [0, []]
    known = lint("check data.jsonl --output-format json", "--consensus", "any")
    assert json.loads(known.stdout)["violations"] == []
    # What `any` finds to be an error is more than what `all` accepted.
    fixed = lint("check data.jsonl --fix --no-baseline", "--consensus", "any")
    assert json.loads(fixed.stderr.splitlines()[-1])[0] in (0, 1), fixed.stderr
    assert len(data.read_text().splitlines()) == len(ROWS) - len(errors)
    assert len((tmp_path / "data.quarantine.jsonl").read_text().splitlines()) == len(errors) > 0

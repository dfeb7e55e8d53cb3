from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.config import Resolved, Settings, load_settings
from sqsd_lint.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sqsd-lint.toml").write_text("")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(cwd: Path, config: str | None = None) -> Resolved:
    return load_settings({}, config=config, cwd=cwd, environ={})


def refused(cwd: Path, config: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(cwd, config)
    return caught.value


def test_the_nearest_file_wins_and_levels_are_not_merged(root: Path) -> None:
    write(root / "sqsd-lint.toml", 'device = "cpu"\nredact = true\n')
    write(root / "a/pyproject.toml", '[tool.sqsd-lint]\ndevice = "mps"\n')
    (root / "a/b").mkdir()
    resolved = load(root / "a/b")
    assert resolved.settings == Settings(device="mps")
    assert resolved.origins["device"] == str((root / "a/pyproject.toml").resolve())


def test_own_file_goes_before_pyproject_beside_it(root: Path) -> None:
    write(root / "sqsd-lint.toml", 'device = "cpu"\n')
    write(root / "pyproject.toml", '[tool.sqsd-lint]\ndevice = "mps"\n')
    assert load(root).settings.device == "cpu"


@pytest.mark.parametrize("text", ['[tool.other]\nx = "sqsd-lint"\n', "not = = toml\n"])
def test_a_pyproject_without_our_table_is_passed_over(root: Path, text: str) -> None:
    write(root / "sqsd-lint.toml", 'device = "cpu"\n')
    write(root / "a/pyproject.toml", text)
    assert load(root / "a").settings.device == "cpu"


def test_config_names_a_file_and_silences_the_nearest(root: Path) -> None:
    write(root / "sqsd-lint.toml", "redact = true\n")
    write(root / "ci/lint.toml", 'device = "cpu"\n')
    resolved = load(root, "ci/lint.toml")
    assert resolved.settings == Settings(device="cpu")
    assert resolved.origins["device"] == str(Path("ci/lint.toml"))


def test_paths_in_a_file_are_relative_to_the_file(root: Path) -> None:
    (root / "bundles/mine").mkdir(parents=True)
    write(
        root / "sqsd-lint.toml",
        'paths = ["data"]\ncache-dir = ".cache"\n'
        'baseline = "known.json"\nsuppressions = "accepted.toml"\n'
        'bundle = "bundles/mine"\nmodel = "org/name"\nrules = "p.json"\n',
    )
    (root / "a").mkdir()
    settings = load(root / "a").settings
    assert settings.paths == (os.path.join("..", "data"),)
    assert settings.cache_dir == os.path.join("..", ".cache")
    assert settings.baseline == os.path.join("..", "known.json")
    assert settings.suppressions == os.path.join("..", "accepted.toml")
    assert settings.bundle == os.path.join("..", "bundles", "mine")
    assert settings.rules == os.path.join("..", "p.json")
    assert settings.model == "org/name"
    assert load(root).settings.paths == ("data",)


def test_extend_lays_one_file_over_another(root: Path) -> None:
    write(root / "shared/base.toml", 'device = "cpu"\nredact = true\ncache-dir = "c"\n')
    write(root / "sqsd-lint.toml", 'extend = "shared/base.toml"\ndevice = "mps"\n')
    resolved = load(root)
    assert resolved.settings == Settings(device="mps", redact=True, cache_dir=os.path.join("shared", "c"))
    assert resolved.origins["device"] == "sqsd-lint.toml"
    assert resolved.origins["redact"] == os.path.join("shared", "base.toml")


def test_extend_in_a_circle_is_refused(root: Path) -> None:
    write(root / "sqsd-lint.toml", 'extend = "b.toml"\n')
    write(root / "b.toml", 'extend = "c.toml"\n')
    os.symlink(root / "sqsd-lint.toml", root / "c.toml")
    assert "sqsd-lint.toml -> b.toml -> c.toml" in refused(root).message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("max_length = 5\n", 'sqsd-lint.toml: unknown key "max_length"', 'Did you mean "max-length"?'),
        ("treshold = 5\n", 'sqsd-lint.toml: unknown key "treshold"', 'Did you mean "threshold"?'),
        ("zzz = 5\n", 'sqsd-lint.toml: unknown key "zzz"', "Known keys: $schema, allow, "),
        (
            'max-length = "long"\n',
            'sqsd-lint.toml: "max-length" is "long", expected an integer of at least 16',
            None,
        ),
        (
            'turns = "first"\n',
            'sqsd-lint.toml: "turns" is "first", expected one of "all", "last"',
            None,
        ),
        ("learning-rate = nan\n", 'sqsd-lint.toml: "learning-rate" is NaN, expected a number', None),
        ("learning-rate = true\n", 'sqsd-lint.toml: "learning-rate" is true, expected a number', None),
        ("epochs = inf\n", 'sqsd-lint.toml: "epochs" is Infinity, expected a number', None),
        ('metric = "cosin"\n', 'sqsd-lint.toml: "metric" is "cosin"', 'Did you mean "cosine"?'),
        (
            '[severity]\nSQSD12 = "error"\n',
            'sqsd-lint.toml: unknown key "severity.SQSD12"',
            'Did you mean "SQSD102"?',
        ),
        (
            '[per-file-ignores]\n"a" = "SQSD101"\n',
            'sqsd-lint.toml: "per-file-ignores.a" is "SQSD101", expected a list',
            None,
        ),
        ("proxy = 1\n", 'sqsd-lint.toml: "proxy" is 1, expected true or false', None),
        ('select = "SQSD1"\n', 'sqsd-lint.toml: "select" is "SQSD1", expected a list', None),
        ("[columns]\nprompt = 3\n", 'sqsd-lint.toml: "columns.prompt" is 3, expected a string', None),
        ('threshold = "h0"\n', 'sqsd-lint.toml: "threshold" is "h0", expected a string or a number', None),
        ('"\\u001b[2J" = 1\n', r'sqsd-lint.toml: unknown key "\u001b[2J"', "Known keys"),
        ('extend = "nul\\u0000"\n', "no such configuration file", "Check"),
        ('extend = "gone.toml"\n', "gone.toml: no such configuration file", "Check"),
        ("a = [\n", "not TOML", None),
        ("a = " + "[" * 5000, "not TOML", None),
        ("#" * (1 << 20) + "\n", "too large", None),
    ],
)
def test_faults_name_file_key_and_what_was_expected(
    root: Path, text: str, message: str, hint: str | None
) -> None:
    write(root / "sqsd-lint.toml", text)
    fault = refused(root)
    assert message in fault.message
    assert (fault.hint or "").startswith(hint or "")


def test_a_missing_file_table_or_encoding_is_refused(root: Path) -> None:
    assert "no such configuration file" in refused(root, "gone.toml").message
    write(root / "pyproject.toml", "[tool.other]\n")
    assert "no table [tool.sqsd-lint]" in refused(root, "pyproject.toml").message
    write(root / "pyproject.toml", '[tool]\nsqsd-lint = "x"\n')
    assert "expected a table" in refused(root, "pyproject.toml").message
    (root / "latin.toml").write_bytes(b'device = "\xe9"\n')
    assert "not UTF-8 at byte 10" in refused(root, "latin.toml").message


def test_no_validator_is_imported_without_a_file_or_a_constrained_value(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sqsd_lint.config import load_settings\n"
        "load_settings({'paths': ['x'], 'bundle': 'b'}, isolated=True, cwd=Path.cwd(),"
        " environ={'SQSD_LINT_CACHE_DIR': 'c'})\n"
        "assert not {'jsonschema', 'difflib', 'tomllib', 'torch', 'rich'} & set(sys.modules)"
    )
    repository = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": repository},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

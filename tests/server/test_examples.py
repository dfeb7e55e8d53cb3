"""The files of examples/service name options, modules and paths that there are."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import typer
import yaml

from sqsd_lint.cli.app import build
from sqsd_lint.server.wire import BUNDLE_PATH, MOST_BYTES, SCORES_PATH

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "service"


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

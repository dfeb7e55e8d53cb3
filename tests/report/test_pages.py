from __future__ import annotations

import io
from dataclasses import asdict
from types import SimpleNamespace

from sqsd_lint.report.style.messages import print_error
from sqsd_lint.report.views.bundle import print_bundle, print_json, print_wrong
from sqsd_lint.report.views.bundle_list import print_list
from sqsd_lint.report.views.rule_pages import print_pages, print_rules
from sqsd_lint.types import Agreement, Severity, Threshold
from tests.report.golden import assert_golden
from tests.report.reports import HOSTILE_TEXT, VALIDATION


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FACTS = {
    "id": "default",
    "digest": "3f9a0c1e52bd77aa120045",
    "path": "bundles/default",
    "bytes": 12_345_678,
    "base_model": {"id": "SmolLM2-135M-Instruct", "architecture": "LlamaForCausalLM"},
    "base_adapter": "base",
    "directions": {
        "danger": {"adapter": "danger", "expansion": "initial", "scaling": None},
        "safety": {"adapter": "safety", "expansion": "safety", "scaling": 1.0},
    },
    "expansion": "paper",
    "metric": "cosine",
    "modules": "all",
    "notes": ["small proxy model"],
    "provenance": [
        {"role": "danger", "rows": 3000, "name": "pairs", "licence": "MIT"},
        {"role": "safety", "rows": 1, "name": "\x1b[31mrefusals", "licence": "MIT"},
    ],
    "calibration": {
        "benign_rows": 2000,
        "harmful_rows": 100,
        "tolerance": 0.01234,
        "sets": {"benign": [{"name": "dolly"}, {"name": "gsm8k"}], "harmful": [{"name": "pure_bad"}]},
    },
    "validation": asdict(VALIDATION),
    "update": "lora",
    "agreements": [asdict(Agreement("org/\x1bbig", "cd" * 32, 500, 0.61, 0.52, 0.69, 0.44))],
}
LINES = [Threshold("p99", 4.1, 0.01, 0.941), Threshold("p99.9", 6.42, 0.001, 0.874)]


def test_a_pipe_gets_the_markdown_itself() -> None:
    stream = io.StringIO()
    print_pages(["# One\n\ntext\n", "# Two\n"], stream)
    assert stream.getvalue() == "# One\n\ntext\n\n# Two\n"


def test_a_terminal_gets_it_rendered() -> None:
    stream = Terminal()
    print_pages(["# One\n\nsome `code`\n"], stream)
    assert "# One" not in stream.getvalue()
    assert "One" in stream.getvalue()


def test_the_list_of_rules() -> None:
    stream = io.StringIO()
    rule = SimpleNamespace(
        code="SQSD101", name="high-risk-sample", severity=Severity.ERROR, summary="It is high"
    )
    print_rules([rule], stream)
    assert stream.getvalue() == "SQSD101  high-risk-sample  error\n         It is high.\n"


def test_a_bundle() -> None:
    stream = io.StringIO()
    print_bundle(FACTS, LINES, stream)
    assert_golden("bundle.txt", stream.getvalue())


def test_a_bundle_without_calibration() -> None:
    stream = io.StringIO()
    print_bundle({**FACTS, "calibration": None, "validation": None, "base_adapter": None}, [], stream)
    assert "only raw scores can be thresholds" in stream.getvalue()
    assert "p99" not in stream.getvalue()


def test_a_bundle_as_json() -> None:
    import json

    stream = io.StringIO()
    print_json(FACTS, LINES, stream)
    document = json.loads(stream.getvalue())
    assert document["lines"][0] == {
        "spec": "p99",
        "value": 4.1,
        "benign_share": 0.01,
        "harmful_share": 0.941,
    }


def test_the_list_of_bundles() -> None:
    manifest = SimpleNamespace(
        base_model=SimpleNamespace(id="org/\x1bmodel"), expansion="shared", calibration=object()
    )
    mine = SimpleNamespace(id="mine", embedded=False, problem="", manifest=manifest)
    broken = SimpleNamespace(id="broken", embedded=True, problem="not \x1b[31mJSON", manifest=None)
    stream = io.StringIO()
    print_list(
        [
            SimpleNamespace(
                entry=mine, digest="ab" * 32, size=19_800_000, used=0.0, sources=("hf://o/\x1b",)
            ),
            SimpleNamespace(entry=broken, digest=None, size=0, used=None, sources=()),
        ],
        stream,
        now=3 * 86_400.0,
    )
    assert_golden("bundles.txt", stream.getvalue())
    assert "\x1b" not in stream.getvalue()
    print_list([], stream := io.StringIO())
    assert "bundle build" in stream.getvalue()


def test_what_is_wrong_with_a_bundle() -> None:
    stream = io.StringIO()
    print_wrong([("danger/x.safetensors", f"bad {HOSTILE_TEXT}")], stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("✗ danger/x.safetensors  bad ")


def test_an_error_and_its_remedy() -> None:
    stream = io.StringIO()
    print_error("no bundle \x1b[31m`x`", "build `one`", stream=stream, trace="Traceback\n  \x07here")
    assert stream.getvalue() == ("Traceback\n  \\x07here\nerror: no bundle \\x1b[31m`x`\nhelp: build `one`\n")

"""The service against its own OpenAPI document: no request makes it fail, and every answer is as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import jsonschema
import pytest

from sqsd_lint.server.wire import encode
from tests.server.test_service import text_row


@pytest.mark.slow
def test_no_request_finds_an_answer_that_the_document_does_not_have(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "1", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    # It got answers of both kinds, and not only refusals.
    text = httpx2.get(f"{url}/metrics").text
    for status in (200, 400, 409):
        (line,) = [
            line
            for line in text.splitlines()
            if line.startswith(f'sqsd_lint_requests_total{{path="/v1/scores",status="{status}"}}')
        ]
        assert float(line.rpartition(" ")[2]) > 10


def test_the_document_is_sound_and_whole(url: str) -> None:
    document = httpx2.get(f"{url}/openapi.json").json()
    assert set(document["paths"]) == {"/v1/bundle", "/v1/scores", "/healthz", "/readyz", "/metrics"}
    schemas = document["components"]["schemas"]
    jsonschema.Draft202012Validator.check_schema({"$defs": schemas})
    answer = httpx2.post(
        f"{url}/v1/scores",
        content=encode({"rows": [text_row(), {"messages": [{"role": "user", "content": "no answer"}]}]}),
        headers={"Content-Type": "application/json"},
    ).json()
    whole = {"$ref": "#/components/schemas/ScoreResponse", "components": {"schemas": schemas}}
    jsonschema.validate(answer, whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**answer, "bundle": "short"}, whole)

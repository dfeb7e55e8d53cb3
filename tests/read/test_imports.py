from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_reading_text_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "T"}\n')
    code = (
        "import sys\n"
        "from sqsd_lint.discover import find_files\n"
        "from sqsd_lint.read import read_rows\n"
        "from sqsd_lint.samples import to_sample\n"
        "assert [to_sample(row).schema for row in read_rows(find_files(sys.argv[1:])[0][0])] == ['text']\n"
        "heavy = {'pyarrow', 'zstandard', 'gzip', 'torch', 'transformers', 'datasets', 'numpy', 'pathspec'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "[]"

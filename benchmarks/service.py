"""Throughput of the scoring service with several clients against the local engine, on the same rows.

Neither takes scores from a cache. The service is a process of its own, its model loaded and warm before the
clock starts, and so is the engine's. Prints rows and tokens a second of both, and their ratio:

    python benchmarks/service.py [--bundle B --model M] [--rows 256] [--clients 4]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.config import Settings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.remote_scorer import ScoringService
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.types import Message, Problem, Sample, Score, Where

# Lengths of answers in words, as rows of instruction data have them: many short ones, some long.
LENGTHS = (8, 15, 25, 40, 60, 90, 140, 220)


def rows(count: int, seed: str) -> list[Sample]:
    """Return rows of many lengths, no two the same."""
    found = []
    for i in range(count):
        words = " ".join(f"word{(i * 7 + j) % 97}" for j in range(LENGTHS[i % len(LENGTHS)]))
        messages = (Message("user", f"{seed} {i}: describe it."), Message("assistant", f"{words}."))
        mask = (False, True)
        found.append(Sample(fingerprint(messages, mask), messages, mask, Where("rows", i + 1, i)))
    return found


def tokens_of(answers: list[Score | Problem]) -> int:
    """Return the answer tokens that were scored.

    Raises:
        SystemExit: a row has no score.
    """
    if any(isinstance(answer, Problem) for answer in answers):
        sys.exit("a row could not be scored")
    return sum(answer.tokens for answer in answers if isinstance(answer, Score))


def local(settings: Settings, cache: Path, samples: list[Sample]) -> tuple[float, int]:
    """Return the seconds that the engine takes, its model loaded, and the tokens scored."""
    bundle = open_for(settings, cache_dir=cache)
    scorer = ModelScorer(bundle, settings, cache_dir=cache, cache_scores=False)
    list(scorer.score(rows(8, "warm")))
    begun = time.perf_counter()
    answers = [answer for _, answer in scorer.score(samples)]
    seconds = time.perf_counter() - begun
    scorer.release()
    return seconds, tokens_of(answers)


def served(arguments: list[str], cache: Path, samples: list[Sample], clients: int) -> tuple[float, int]:
    """Return the seconds that a service takes for all clients, and the tokens scored."""
    command = [sys.executable, "-m", "sqsd_lint", "serve", "--isolated", "--port", "0", "--no-cache"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr)
            url = next(json.loads(line)["url"] for line in lines if '"listening"' in line)
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            while True:
                try:
                    urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            settings = Settings(scorer=url, cache=False)
            answers: list[list[Score | Problem]] = [[] for _ in range(clients)]

            def ask(i: int, part: list[Sample]) -> None:
                scorer = ScoringService(settings, cache_dir=cache).scorer(exact=False, cache_scores=False)
                answers[i] = [answer for _, answer in scorer.score(part)]

            ask(0, rows(8, "warm"))
            threads = [threading.Thread(target=ask, args=(i, samples[i::clients])) for i in range(clients)]
            begun = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - begun
            return seconds, tokens_of([answer for part in answers for answer in part])
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    samples = rows(given.rows, "row")
    settings = Settings(bundle=given.bundle, model=given.model, device=given.device, dtype=given.dtype)
    named = {
        "--bundle": given.bundle,
        "--model": given.model,
        "--device": given.device,
        "--dtype": given.dtype,
    }
    arguments = [text for name, value in named.items() if value for text in (name, value)]
    with tempfile.TemporaryDirectory() as folder:
        from sqsd_lint.bundle.cache import cache_root

        found = {
            "engine": local(settings, cache_root(None), samples),
            f"service, {given.clients} clients": served(arguments, Path(folder), samples, given.clients),
        }
    for name, (seconds, tokens) in found.items():
        print(f"{name:22} {given.rows / seconds:8.1f} rows/s {tokens / seconds:9.0f} answer tokens/s")
    (engine, _), (service, _) = found.values()
    print(f"service / engine: {engine / service:.3f}")


if __name__ == "__main__":
    main()

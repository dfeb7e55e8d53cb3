"""Throughput of the scoring service with several clients against the local engine, on the same rows.

Neither takes scores from a cache. The service is a process of its own. Both models are loaded and warm before
any clock starts, so both are in memory at once; then engine and service take turns, so that a machine that
others slow down slows both. Prints rows a second, answer tokens a second and CPU seconds of each turn (the
service's are those of its process and of its clients), and the ratios:

    python benchmarks/service.py [--bundle B --model M] [--rows 256] [--clients 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import psutil
from common import machine

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.config import Settings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.run.remote_scorer import ScoringService
from sqsd_lint.run.scorers import SampleScorer
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.types import Message, Problem, Sample, Score, Where

# Lengths of answers in words, as rows of instruction data have them: many short ones, some long.
LENGTHS = (8, 15, 25, 40, 60, 90, 140, 220)


def rows(count: int, seed: str, longest: int) -> list[Sample]:
    """Return rows of many lengths, no two the same, with no more than so many words."""
    found = []
    lengths = [words for words in LENGTHS if words <= longest] or [longest]
    for i in range(count):
        words = " ".join(f"word{(i * 7 + j) % 97}" for j in range(lengths[i % len(lengths)]))
        messages = (Message("user", f"{seed} {i}: describe it."), Message("assistant", f"{words}."))
        mask = (False, True)
        found.append(Sample(fingerprint(messages, mask), messages, mask, Where("rows", i + 1, i)))
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """What scoring all rows once took.

    Attributes:
        seconds: of the clock.
        cpu: of processors.
        tokens: of answers.
    """

    seconds: float
    cpu: float
    tokens: int


def turn(work: Callable[[], list[Score | Problem]], cpu: Callable[[], float]) -> Turn:
    """Return what it takes to score.

    Args:
        cpu: returns the CPU seconds that all that works has used so far.

    Raises:
        SystemExit: a row has no score.
    """
    cpu_before, begun = cpu(), time.perf_counter()
    answers = work()
    seconds = time.perf_counter() - begun
    if any(isinstance(answer, Problem) for answer in answers):
        sys.exit("a row could not be scored")
    tokens = sum(answer.tokens for answer in answers if isinstance(answer, Score))
    return Turn(seconds, cpu() - cpu_before, tokens)


def scores_by(scorer: SampleScorer, samples: list[Sample]) -> list[Score | Problem]:
    """Return the answers of a scorer."""
    return [answer for _, answer in scorer.score(samples)]


def scores_by_clients(service: ScoringService, samples: list[Sample], clients: int) -> list[Score | Problem]:
    """Return the answers to clients that ask at once, each for its part of the rows."""

    def ask(part: list[Sample]) -> list[Score | Problem]:
        return scores_by(service.scorer(exact=False, cache_scores=False), part)

    with ThreadPoolExecutor(clients) as pool:
        parts = pool.map(ask, [samples[i::clients] for i in range(clients)])
        return [answer for part in parts for answer in part]


@contextmanager
def running(arguments: list[str]) -> Iterator[tuple[psutil.Process, str]]:
    """Start a service, and yield its process and URL once its model is loaded."""
    command = [sys.executable, "-m", "sqsd_lint", "serve", "--isolated", "--port", "0", "--no-cache"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr)
            url = next((json.loads(line)["url"] for line in lines if '"listening"' in line), None)
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            while url is None or not is_ready(url):
                if server.poll() is not None:
                    sys.exit(f"the service ended with {server.returncode}")
                time.sleep(0.5)
            yield psutil.Process(server.pid), url
        finally:
            server.terminate()


def is_ready(url: str) -> bool:
    """Return whether a service has loaded its model."""
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--longest", type=int, default=max(LENGTHS), help="words of an answer at most")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    samples, warm = rows(given.rows, "row", given.longest), rows(8, "warm", given.longest)
    named = {name: getattr(given, name) for name in ("bundle", "model", "device", "dtype")}
    arguments = [text for name, value in named.items() if value for text in (f"--{name}", value)]
    settings, cache = Settings(**named, cache=False), cache_root(None)
    engine = ModelScorer(open_for(settings, cache_dir=cache), settings, cache_dir=cache, cache_scores=False)
    scores_by(engine, warm)
    print(f"{machine()}, {engine.dtype}, {given.rows} rows, {given.clients} clients", flush=True)
    engine_turns, service_turns = [], []
    with running(arguments) as (server, url):
        service = ScoringService(Settings(scorer=url, cache=False), cache_dir=cache)
        scores_by_clients(service, warm, 1)

        def service_cpu() -> float:
            used = server.cpu_times()
            return float(used.user + used.system) + time.process_time()

        for _ in range(given.rounds):
            engine_turns.append(turn(lambda: scores_by(engine, samples), time.process_time))
            show("engine", engine_turns[-1], given.rows)
            service_turns.append(
                turn(lambda: scores_by_clients(service, samples, given.clients), service_cpu)
            )
            show("service", service_turns[-1], given.rows)
    both = list(zip(engine_turns, service_turns, strict=True))
    for name in ("seconds", "cpu"):
        ratios = [getattr(one, name) / getattr(other, name) for one, other in both]
        label = "rows a second" if name == "seconds" else "rows a CPU second"
        shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"service / engine, {label}: {median(ratios):.3f} (rounds: {shown})")


def show(name: str, took: Turn, count: int) -> None:
    """Print a turn."""
    speed = f"{count / took.seconds:8.2f} rows/s {took.tokens / took.seconds:8.0f} answer tokens/s"
    print(f"{name:8} {speed} {took.cpu:8.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()

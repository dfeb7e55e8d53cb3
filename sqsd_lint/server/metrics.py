"""What `GET /metrics` shows, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqsd_lint.server.engine import Engine


class Metrics:
    """The service's metrics: of requests, counted here, and of the engine, read when they are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineMetrics(engine))
        self.requests = Counter(
            "sqsd_lint_requests", "Requests, by path and status.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "sqsd_lint_request_seconds",
            "Seconds from a request for scores to its answer.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)


class _EngineMetrics(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine, counts = self._engine, self._engine.counts
        rows = CounterMetricFamily("sqsd_lint_rows", "Rows answered, by how.", labels=["outcome"])
        for outcome in ("scored", "cached", "problems"):
            rows.add_metric([outcome], getattr(counts, outcome))
        yield rows
        yield CounterMetricFamily("sqsd_lint_answer_tokens", "Answer tokens scored.", value=counts.tokens)
        yield CounterMetricFamily("sqsd_lint_groups", "Groups of requests scored.", value=counts.groups)
        yield CounterMetricFamily("sqsd_lint_busy_seconds", "Seconds at work.", value=counts.busy)
        yield GaugeMetricFamily("sqsd_lint_queue_rows", "Rows waiting or at work.", value=engine.rows)
        yield GaugeMetricFamily("sqsd_lint_ready", "Whether the model is loaded.", value=int(engine.ready))

"""Every Prometheus instrument of the service, with its unit and buckets. `docs/metrics.md` lists the same."""

import os
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # one series more for every other one, that nobody reads

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKENS = tuple(2**power for power in range(5, 18))


class Metrics:
    """The instruments of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.process_threads = Gauge("process_threads", "Threads of the process.", registry=self.registry)
        self.process_threads.set_function(_threads)
        self.requests = Counter(
            "podium_requests_total",
            "Rank requests answered, by API and HTTP status.",
            ["dialect", "status"],
            registry=self.registry,
        )
        self.request_duration_seconds = Histogram(
            "podium_request_duration_seconds",
            "Seconds from the headers of a rank request to its answer.",
            ["dialect"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.queue_pairs = Gauge(
            "podium_queue_pairs", "Pairs admitted that no batch holds yet.", registry=self.registry
        )
        self.queue_tokens = Gauge(
            "podium_queue_tokens",
            "Tokens to compute for the pairs that no batch holds yet.",
            registry=self.registry,
        )
        self.batch_tokens = Histogram(
            "podium_batch_tokens",
            "Tokens that were computed for a batch.",
            buckets=TOKENS,
            registry=self.registry,
        )
        self.padding_avoided_tokens = Counter(
            "podium_padding_avoided_tokens_total",
            "Tokens of padding and of repeated prefixes that batches did without.",
            registry=self.registry,
        )
        self.inference_seconds = Histogram(
            "podium_inference_seconds",
            "Seconds of the model for a batch.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.tokenization_seconds = Histogram(
            "podium_tokenization_seconds",
            "Seconds of the tokenizer for a slice of texts.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pairs = Counter("podium_pairs_total", "Pairs that the model scored.", registry=self.registry)
        self.tokens = Counter(
            "podium_tokens_total", "Tokens that the model computed.", registry=self.registry
        )
        self.cache_hits = Counter(
            "podium_cache_hits_total", "Pairs answered without the model.", registry=self.registry
        )
        self.documents_truncated = Counter(
            "podium_documents_truncated_total",
            "Documents of which something was cut to fit the model.",
            registry=self.registry,
        )
        self.model_info = Gauge(
            "podium_model_info",
            "The loaded model; always 1.",
            ["model", "revision", "device", "dtype"],
            registry=self.registry,
        )
        self.startup_seconds = Gauge(
            "podium_startup_seconds",
            "Seconds that fetching, loading and testing the model took.",
            registry=self.registry,
        )

    def follow_queue(self, pairs: Callable[[], float], tokens: Callable[[], float]) -> None:
        """Read the queue's gauges from its owner when they are scraped."""
        self.queue_pairs.set_function(pairs)
        self.queue_tokens.set_function(tokens)

    def batch(self, lengths: Sequence[int], computed: int, seconds: float) -> None:
        """Count one batch: tokens of each pair, tokens that were computed in all, seconds of the model."""
        self.batch_tokens.observe(computed)
        self.inference_seconds.observe(seconds)
        self.pairs.inc(len(lengths))
        self.tokens.inc(computed)
        self.padding_avoided_tokens.inc(max(0, max(lengths) * len(lengths) - computed))

    def exposition(self) -> bytes:
        """Return all instruments in Prometheus' text format."""
        return generate_latest(self.registry)


def _threads() -> float:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return float("nan")

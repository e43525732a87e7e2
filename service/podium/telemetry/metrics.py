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
)
from prometheus_client.exposition import choose_encoder

disable_created_metrics()  # type: ignore[no-untyped-call]  # one series more for every other one, that nobody reads

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKENS = tuple(2**power for power in range(5, 18))


class Metrics:
    """The instruments of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.process_threads = Gauge("process_threads", "Threads of the process.", registry=registry)
        self.process_threads.set_function(_threads)
        self.requests = Counter(
            "podium_requests_total",
            "Rank requests answered, by API and HTTP status.",
            ["dialect", "status"],
            registry=registry,
        )
        self.key_requests = Counter(
            "podium_key_requests_total",
            "Rank requests answered, by HTTP status and name of the API key; nameless keys are left out.",
            ["key", "status"],
            registry=registry,
        )
        self.request_duration_seconds = Histogram(
            "podium_request_duration_seconds",
            "Seconds from the headers of a rank request to its answer.",
            ["dialect"],
            buckets=SECONDS,
            registry=registry,
        )
        self.requests_in_flight = Gauge(
            "podium_requests_in_flight",
            "Rank requests that have begun and are not answered yet.",
            registry=registry,
        )
        self.request_queue_seconds = Histogram(
            "podium_request_queue_seconds",
            "Seconds from the admission of a request to its first batch, or to its end where it had none.",
            buckets=SECONDS,
            registry=registry,
        )
        self.request_timeout_seconds = Gauge(
            "podium_request_timeout_seconds",
            "Seconds after which a request is given up, as it is set.",
            registry=registry,
        )
        self.queue_pairs = Gauge(
            "podium_queue_pairs",
            "Pairs admitted that no batch holds yet.",
            registry=registry,
        )
        self.queue_tokens = Gauge(
            "podium_queue_tokens",
            "Tokens to compute for the pairs that no batch holds yet.",
            registry=registry,
        )
        self.queue_oldest_seconds = Gauge(
            "podium_queue_oldest_seconds",
            "Seconds since the admission of the oldest request of which no batch has ended yet.",
            registry=registry,
        )
        self.batches = Counter(
            "podium_batches_total",
            "Batches, by what ended them: nothing more waited, the device's tokens, or time.",
            ["reason"],
            registry=registry,
        )
        self.batch_tokens = Histogram(
            "podium_batch_tokens",
            "Tokens that were computed for a batch.",
            buckets=TOKENS,
            registry=registry,
        )
        self.batch_limit_tokens = Gauge(
            "podium_batch_limit_tokens",
            "Tokens of a batch at most, by the speed and what the device holds now.",
            registry=registry,
        )
        self.split_batches = Counter(
            "podium_split_batches_total",
            "Batches that were split because memory ran out.",
            registry=registry,
        )
        self.failed_batches = Counter(
            "podium_failed_batches_total",
            "Batches that failed, those that were tried again request by request included.",
            registry=registry,
        )
        self.device_failures = Counter(
            "podium_device_failures_total",
            "Failed batches whose self-test failed, too, or that lost the device.",
            registry=registry,
        )
        self.padding_avoided_tokens = Counter(
            "podium_padding_avoided_tokens_total",
            "Tokens of padding and of repeated prefixes that batches did without.",
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "podium_inference_seconds",
            "Seconds of the model for a batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self.tokenization_seconds = Histogram(
            "podium_tokenization_seconds",
            "Seconds of the tokenizer for a slice of texts.",
            buckets=SECONDS,
            registry=registry,
        )
        self.tokens_per_second = Gauge(
            "podium_tokens_per_second",
            "Tokens that the model computes in a second, as batches are planned by it.",
            registry=registry,
        )
        self.best_tokens_per_second = Gauge(
            "podium_best_tokens_per_second",
            "Tokens per second of the fastest batch since the start that was half full at least.",
            registry=registry,
        )
        self.pairs = Counter(
            "podium_pairs_total",
            "Pairs that the model scored.",
            registry=registry,
        )
        self.tokens = Counter(
            "podium_tokens_total",
            "Tokens that the model computed.",
            registry=registry,
        )
        self.cache_hits = Counter(
            "podium_cache_hits_total",
            "Pairs answered without the model.",
            registry=registry,
        )
        self.cache_bytes = Gauge(
            "podium_cache_bytes",
            "Bytes that remembered pair scores take, those that grew old included.",
            registry=registry,
        )
        self.documents_truncated = Counter(
            "podium_documents_truncated_total",
            "Documents of which something was cut to fit the model.",
            registry=registry,
        )
        self.threads = Gauge(
            "podium_threads",
            "Threads that the model computes with on a CPU; they follow the container's limit.",
            registry=registry,
        )
        self.device_memory_bytes = Gauge(
            "podium_device_memory_bytes",
            "Bytes of the GPU's memory, used by anyone and free; none on a CPU.",
            ["state"],
            registry=registry,
        )
        self.model_info = Gauge(
            "podium_model_info",
            "The loaded model; always 1.",
            ["model", "revision", "device", "dtype"],
            registry=registry,
        )
        self.startup_seconds = Gauge(
            "podium_startup_seconds",
            "Seconds that fetching, loading and testing the model took.",
            registry=registry,
        )

        for reason in ("empty", "time", "tokens"):
            self.batches.labels(reason)  # 0 from the start, so that the first one is an increase

    def follow(self, **sources: Callable[[], float]) -> None:
        """Read gauges, by their names here, from their owner when they are scraped."""
        for name, read in sources.items():
            getattr(self, name).set_function(read)

    def follow_device_memory(self, read: Callable[[], tuple[int, int]]) -> None:
        """Read used and free bytes of the device's memory when they are scraped.

        A device that is lost raises at each call, and then the other metrics are wanted most.
        """

        def part(index: int) -> float:
            try:
                return read()[index]
            except Exception:  # noqa: BLE001 whatever a driver raises
                return float("nan")

        self.device_memory_bytes.labels("used").set_function(lambda: part(0))
        self.device_memory_bytes.labels("free").set_function(lambda: part(1))

    def batch(self, lengths: Sequence[int], computed: int, seconds: float) -> None:
        """Count one batch: tokens of each pair, tokens that were computed in all, seconds of the model."""
        self.batch_tokens.observe(computed)
        self.inference_seconds.observe(seconds)
        self.pairs.inc(len(lengths))
        self.tokens.inc(computed)
        self.padding_avoided_tokens.inc(max(0, max(lengths) * len(lengths) - computed))

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all instruments and the media type: OpenMetrics, with exemplars, where `accept` asks for it,
        else Prometheus' text format.
        """
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, media_type = choose_encoder("")
        return encode(self.registry), media_type


class DownloadMetrics:
    """The instruments of one download, in a registry of their own: a Job's pod has nothing else to tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, documentation: str) -> Gauge:
            return Gauge(f"podium_download_{name}", documentation, registry=self.registry)

        self.bytes = gauge("bytes", "Bytes of the model that are on the disk.")
        self.wanted_bytes = gauge(
            "wanted_bytes", "Bytes of all files of the model; 0 until the hub has told."
        )
        self.files = gauge("files", "Files of the model that are on the disk, whole.")
        self.wanted_files = gauge("wanted_files", "All files of the model; 0 until the hub has told.")


def _threads() -> float:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return float("nan")

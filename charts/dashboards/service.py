"""One Reranker's pods: are callers well, and what holds them up?"""

from dashboards.panels import Dashboard, Panel, Query

_HERE = 'namespace=~"$namespace", service=~"$service"'
_RATE = "[$__rate_interval]"


def _rate(metric: str, by: str = "", where: str = "") -> str:
    selected = f"{metric}{{{_HERE}{', ' + where if where else ''}}}"
    return f"sum{f' by ({by})' if by else ''} (rate({selected}{_RATE}))"


def _quantiles(metric: str) -> list[Query]:
    buckets = _rate(f"{metric}_bucket", "le")
    return [Query(f"histogram_quantile(0.{share}, {buckets})", f"p{share}") for share in (50, 95, 99)]


def _mean(metric: str) -> str:
    return f"{_rate(f'{metric}_sum')} / {_rate(f'{metric}_count')}"


SERVICE = Dashboard(
    name="service",
    title="Podium / Service",
    description="The pods of Rerankers: rate, errors, duration, queue, batches, speed, cache, memory.",
    variables={"namespace": "podium_queue_pairs", "service": "podium_queue_pairs"},
    panels=[
        Panel(
            "Requests by API",
            "Rank requests answered in a second.",
            [Query(_rate("podium_requests_total", "dialect"), "{{dialect}}")],
            "reqps",
        ),
        Panel(
            "Errors by API and status",
            "Requests that were not answered 2xx. 429 is overload, 499 a caller who left.",
            [
                Query(
                    _rate("podium_requests_total", "dialect, status", 'status!~"2.."'),
                    "{{dialect}} {{status}}",
                )
            ],
            "reqps",
        ),
        Panel(
            "Duration",
            "From the headers of a request to its answer.",
            _quantiles("podium_request_duration_seconds"),
            "s",
        ),
        Panel(
            "Wait for the first batch",
            "What of the duration is queue: from admission to the first batch.",
            _quantiles("podium_request_queue_seconds"),
            "s",
        ),
        Panel(
            "Waiting tokens",
            "Tokens that no batch holds yet, and what a pod may batch at a time.",
            [
                Query(f"sum by (pod) (podium_queue_tokens{{{_HERE}}})", "{{pod}}"),
                Query(f"max(podium_batch_limit_tokens{{{_HERE}}})", "a batch"),
            ],
        ),
        Panel(
            "Age of the queue",
            "Since the admission of the oldest request of which no batch has ended, and the time limit.",
            [
                Query(f"max by (pod) (podium_queue_oldest_seconds{{{_HERE}}})", "{{pod}}"),
                Query(f"min(podium_request_timeout_seconds{{{_HERE}}})", "limit"),
            ],
            "s",
        ),
        Panel(
            "In flight",
            "Requests that have begun and are not answered.",
            [Query(f"sum by (pod) (podium_requests_in_flight{{{_HERE}}})", "{{pod}}")],
        ),
        Panel(
            "Batch fill",
            "Tokens of a mean batch, of what a batch may have. Low beside a short queue: there is room.",
            [Query(f"({_mean('podium_batch_tokens')}) / avg(podium_batch_limit_tokens{{{_HERE}}})", "fill")],
            "percentunit",
        ),
        Panel(
            "Batches by what ended them",
            "empty: nothing more waited. time: more would take too long. tokens: the device holds no more.",
            [Query(_rate("podium_batches_total", "reason"), "{{reason}}")],
            "ops",
        ),
        Panel(
            "Speed, of the pod's own best",
            "Tokens per second of the model while it runs, of the fastest batch since the pod started. "
            "Low for long with full batches: the processor is shared, throttled or swapped out.",
            [
                Query(
                    f"sum by (pod) (rate(podium_tokens_total{{{_HERE}}}{_RATE}))"
                    f" / sum by (pod) (rate(podium_inference_seconds_sum{{{_HERE}}}{_RATE}))"
                    f" / max by (pod) (podium_best_tokens_per_second{{{_HERE}}})",
                    "{{pod}}",
                )
            ],
            "percentunit",
        ),
        Panel(
            "Pairs from the cache",
            "Share of all pairs that were answered without the model.",
            [
                Query(
                    f"{_rate('podium_cache_hits_total')}"
                    f" / ({_rate('podium_cache_hits_total')} + {_rate('podium_pairs_total')})",
                    "hits",
                )
            ],
            "percentunit",
        ),
        Panel(
            "Truncated documents",
            "Documents of which something was cut to fit the model, in a second.",
            [Query(_rate("podium_documents_truncated_total"), "documents")],
        ),
        Panel(
            "Failures",
            "Batches that memory split, batches that failed, and failures of the device, in a second.",
            [
                Query(_rate("podium_split_batches_total"), "split"),
                Query(_rate("podium_failed_batches_total"), "failed"),
                Query(_rate("podium_device_failures_total"), "device"),
            ],
        ),
        Panel(
            "Memory",
            "Of the process, of the cache in it, and of the GPU where there is one.",
            [
                Query(f"sum by (pod) (process_resident_memory_bytes{{{_HERE}}})", "{{pod}}"),
                Query(f"sum by (pod) (podium_cache_bytes{{{_HERE}}})", "{{pod}} cache"),
                Query(f'sum by (pod) (podium_device_memory_bytes{{{_HERE}, state="used"}})', "{{pod}} GPU"),
            ],
            "bytes",
        ),
        Panel(
            "Models",
            "What each pod serves.",
            [
                Query(
                    "max by (namespace, service, model, revision, device, dtype)"
                    f" (podium_model_info{{{_HERE}}})",
                    "",
                )
            ],
            table=True,
            columns=24,
        ),
    ],
)

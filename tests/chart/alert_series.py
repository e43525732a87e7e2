"""Series of what Rerankers, their pods and the operator tell, as promtool reads them."""

RERANKER = {"namespace": "search", "reranker": "demo"}
SERVICE = {"namespace": "search", "service": "demo"}
POD = {**SERVICE, "pod": "demo-0"}
OPERATOR = {"job": "operator", "instance": "10.0.0.1:8080"}
OF = "podium_operator_reranker_"


def series(name: str, labels: dict[str, str], values: str, **more: str) -> tuple[str, str]:
    """Return a series of promtool's: a value each interval of its case."""
    told = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    return f"{name}{{{told}}}", values


def condition(kind: str, status: str, reason: str, values: str = "1x60") -> list[tuple[str, str]]:
    """Return the series of a condition of the Reranker, false since the minute 0."""
    return [
        series(f"{OF}condition", RERANKER, values, condition=kind, status=status),
        series(f"{OF}reason", RERANKER, values, condition=kind, reason=reason),
        series(f"{OF}condition_timestamp_seconds", RERANKER, "0x60", condition=kind),
    ]


def gauge(name: str, values: str) -> tuple[str, str]:
    """Return a number of the Reranker."""
    return series(f"{OF}{name}", RERANKER, values)


def image(name: str) -> tuple[str, str]:
    """Return what the Reranker runs: no image before it has a Deployment."""
    return series(f"{OF}info", RERANKER, "1x60", image=name)


def on_disk(pod: str, values: str) -> tuple[str, str]:
    """Return the bytes that a download's pod sees."""
    return series("podium_download_bytes", RERANKER, values, pod=pod)


def of_lives(*lives: str) -> str:
    """Return values every 30 s of a process that the kubelet ends after 90 s of each life but the last, and
    starts again after pauses that double."""
    return "".join(f"{life} stale _x{2**at} " for at, life in enumerate(lives[:-1])) + lives[-1]


def starts(*moments: str, **labels: str) -> tuple[str, str]:
    """Return when the operator's process started, for each of its lives."""
    lives = (f"{moment}x3" for moment in moments)
    return series("process_start_time_seconds", {**OPERATOR, **labels}, of_lives(*lives))


def by_life(name: str, *lives: str, **labels: str) -> tuple[str, str]:
    """Return a gauge of the operator over its lives."""
    return series(f"podium_operator_{name}", {**OPERATOR, **labels}, of_lives(*lives))


def answered(status: str, values: str) -> tuple[str, str]:
    """Return the counter of answers with a status."""
    return series("podium_requests_total", POD, values, dialect="cohere", status=status)

"""When each alert fires and when it is silent, as series of promtool."""

from typing import NamedTuple

from chart.alert_series import (
    POD,
    RERANKER,
    SERVICE,
    answered,
    by_life,
    condition,
    gauge,
    image,
    on_disk,
    series,
    starts,
)


class Case(NamedTuple):
    """Series in which an alert fires at `at` with these labels and words, and others in which it does not."""

    alert: str
    at: str
    fires: list[tuple[str, str]]
    silent: list[tuple[str, str]]
    labels: dict[str, str]
    description: str
    id: str = ""
    rule: int = 0
    """Which of the rules with this name it is."""
    interval: str = "1m"


NOBODY = [gauge("ready_replicas", "0x60")]
FAILED = "3 downloads were begun for search/demo; CacheReady says why the last one failed or cannot run."
BEHIND = (
    "3 objects of kind Pod are newer than what a watch delivered, for 5 minutes or again after the operator "
    "was started anew."
)

CASES = [
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "CrashLoopBackOff")],
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "Suspended")],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.",
    ),
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [*NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas")],
        [*NOBODY, gauge("desired_replicas", "0x60"), *condition("Available", "False", "NoReadyReplicas")],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.", "none wanted",
    ),
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [
            *NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas"),
            *condition("CacheReady", "False", "NoSpace"), image(""),
        ],
        [
            *NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NoReadyReplicas"),
            *condition("CacheReady", "False", "Downloading"), image(""),
        ],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.", "downloading",
    ),
    Case(
        "PodiumRerankerNotAvailable", "11m",
        [
            *NOBODY, gauge("desired_replicas", "1x60"), *condition("Available", "False", "NodeNotReady"),
            *condition("CacheReady", "False", "Downloading"), image("podium:1"),
        ],
        [
            gauge("ready_replicas", "1x60"), gauge("desired_replicas", "1x60"),
            *condition("Available", "True", "Answering"),
            *condition("CacheReady", "False", "Downloading"), image("podium:1"),
        ],
        RERANKER, "0 pods of search/demo answer, too few for Available, for 10 minutes.",
        "old pods fail while a newer model is downloaded",
    ),
    Case(
        "PodiumRerankerNotReady", "22m",
        [gauge("progress_deadline_seconds", "1200x60"), *condition("Ready", "Unknown", "Downloading")],
        [gauge("progress_deadline_seconds", "1800x60"), *condition("Ready", "Unknown", "Downloading")],
        RERANKER,
        "search/demo is not Ready for 22m 0s, longer than its progress deadline, or its roll got no further "
        "for that long.",
    ),
    Case(
        "PodiumRerankerNotReady", "5m",
        [
            gauge("progress_deadline_seconds", "1200x60"), *condition("Ready", "False", "CrashLoopBackOff"),
            *condition("Progressing", "False", "ProgressDeadlineExceeded"),
        ],
        [
            gauge("progress_deadline_seconds", "1x60"), *condition("Ready", "False", "Suspended"),
            *condition("Progressing", "False", "ProgressDeadlineExceeded"), gauge("desired_replicas", "0x60"),
        ],
        RERANKER,
        "search/demo is not Ready for 5m 0s, longer than its progress deadline, or its roll got no further "
        "for that long.",
        "the roll is stuck",
    ),
    Case(
        "PodiumRerankerDegraded", "31m",
        [
            gauge("ready_replicas", "2x60"), *condition("Available", "True", "Answering"),
            *condition("Degraded", "True", "InsufficientGPU", "1x15 stale"),
            *condition("Degraded", "True", "PartiallyAvailable"),
        ],
        [
            gauge("ready_replicas", "2x60"), *condition("Available", "True", "Answering"),
            *condition("Degraded", "True", "PartiallyAvailable", "1x25 stale"),
            *condition("Degraded", "False", "AsExpected"),
        ],
        RERANKER, "2 pods of search/demo answer, and Degraded has said for 30 minutes what is wrong.",
    ),
    Case(
        "PodiumRerankerDegraded", "40m",
        [
            gauge("ready_replicas", "1x60"), *condition("Available", "True", "Answering"),
            *condition("Degraded", "True", "ClaimNotResizable"),
        ],
        [
            *NOBODY, *condition("Available", "False", "NoReadyReplicas"),
            *condition("Degraded", "True", "ClaimNotResizable"),
        ],
        RERANKER, "1 pods of search/demo answer, and Degraded has said for 30 minutes what is wrong.",
        "another alert tells that nobody is served",
    ),
    Case(
        "PodiumDownloadFailing", "10m",
        [gauge("download_attempts", "3x60"), *condition("CacheReady", "False", "BackoffLimitExceeded")],
        [
            # A node is made for it.
            gauge("download_attempts", "1x60"),
            *condition("CacheReady", "False", "Unschedulable", "1 1 stale"),
            *condition("CacheReady", "False", "Downloading", "1x60"),
        ],
        RERANKER, FAILED,
    ),
    Case(
        "PodiumDownloadFailing", "6m",
        [gauge("download_attempts", "3x60"), *condition("CacheReady", "False", "GatedModel")],
        [gauge("download_attempts", "3x60"), *condition("CacheReady", "True", "Downloaded")],
        RERANKER, FAILED, "it came",
    ),
    Case(
        "PodiumDownloadFailing", "30m",
        [
            # The second pod downloads what was thrown away.
            gauge("download_attempts", "3x60"), *condition("CacheReady", "False", "ChecksumMismatch"),
            on_disk("a", "0+10x10 stale"), on_disk("b", "_x13 0+5x20"),
        ],
        [
            gauge("download_attempts", "3x60"), *condition("CacheReady", "False", "HubUnavailable"),
            on_disk("a", "0+10x10 stale"), on_disk("b", "_x13 100+5x20"),
        ],
        RERANKER, FAILED, "the next try gets on",
    ),
    Case(
        "PodiumSelfTestFailing", "2m",
        condition("Available", "False", "SelfTestFailed"), condition("Available", "False", "ModelLoadFailed"),
        RERANKER, "A condition of search/demo says SelfTestFailed: a pod that says so does not serve.",
    ),
    Case(
        "PodiumImageBehind", "25h",
        [gauge("up_to_date", "0x1600")], [gauge("up_to_date", "0x1200 1x400")],
        RERANKER,
        "The pods of search/demo run an older image or template than the operator would give them, for 1 day "
        "(up to date: 0).",
    ),
    Case(
        "PodiumQueueTooOld", "3m",
        [
            series("podium_queue_oldest_seconds", POD, "240x10"),
            series("podium_request_timeout_seconds", POD, "300x10"),
        ],
        [
            series("podium_queue_oldest_seconds", POD, "140x10"),
            series("podium_request_timeout_seconds", POD, "300x10"),
        ],
        SERVICE,
        "The oldest waiting request of search/demo has used 80% of its time limit, and no batch of it has "
        "ended.",
    ),
    Case(
        "PodiumErrorRate", "12m",
        [answered("200", "0+90x20"), answered("503", "0+10x20")],
        [answered("200", "0+97x20"), answered("503", "0+3x20"), answered("422", "0+90x20")],
        SERVICE, "10% of the requests to search/demo were answered 5xx in the last 5 minutes.",
    ),
    Case(
        "PodiumOverloaded", "25m",
        [answered("429", "0+60x40"), gauge("desired_replicas", "4x40"), gauge("max_replicas", "4x40")],
        [answered("429", "0+60x40"), gauge("desired_replicas", "3x40"), gauge("max_replicas", "4x40")],
        SERVICE,
        "1 requests a second to search/demo are refused with 429 for 15 minutes, while it has all pods that "
        "it may have.",
    ),
    Case(
        "PodiumOutOfMemory", "10m",
        [series("podium_split_batches_total", POD, "0x5 2x10")],
        [series("podium_split_batches_total", POD, "2x20")],
        SERVICE,
        "2 batches of search/demo were split because memory ran out, in 15 minutes.",
    ),
    Case(
        "PodiumOutOfMemory", "2m",
        condition("Available", "False", "OOMKilled"), condition("CacheReady", "False", "OOMKilled"),
        SERVICE, "A condition of search/demo says OOMKilled: a container took more than its limit.",
        "killed", 1,
    ),
    Case(
        "PodiumDeviceFailure", "10m",
        [series("podium_device_failures_total", POD, "0x5 1x10")],
        [series("podium_device_failures_total", POD, "0x20")],
        POD,
        "1 batches of pod search/demo-0 failed together with the self-test behind them, or lost the device, "
        "in 10 minutes.",
    ),
    Case(
        "PodiumOperatorDown", "6m",
        [series("podium_operator_leader", {"pod": "a"}, "0x10")],
        [
            series("podium_operator_leader", {"pod": "a"}, "0x10"),
            series("podium_operator_leader", {"pod": "b"}, "1x10"),
        ],
        {}, "For 5 minutes no operator that Prometheus scrapes has held its Lease.",
    ),
    Case(
        "PodiumOperatorStalled", "20m",
        [
            series("podium_operator_queue_depth", {"job": "operator"}, "7x30"),
            series("podium_operator_reconciles_total", {"job": "operator"}, "5x30", result="success"),
        ],
        [
            series("podium_operator_queue_depth", {"job": "operator"}, "7x30"),
            series("podium_operator_reconciles_total", {"job": "operator"}, "5+1x30", result="success"),
        ],
        {"job": "operator"}, "7 Rerankers wait for the operator, and it has looked at none for 10 minutes.",
    ),
    Case(
        "PodiumOperatorStalled", "11m",
        # /healthz fails 45 s after a worker began to hang.
        [starts("0", "180", "390", "660"), by_life("leader", *["1x3"] * 4)],
        [
            starts("0", "180"), by_life("leader", "1x3", "1x30"),
            starts("0", "180", "390", "660", job="another"),
        ],
        {"job": "operator"}, "The operator's process was started anew 3 times in 30 minutes.",
        "started again and again", 1, "30s",
    ),
    Case(
        "PodiumWatchBehind", "6m",
        [series("podium_operator_watch_behind", {"kind": "Pod"}, "3x10")],
        [series("podium_operator_watch_behind", {"kind": "Pod"}, "3 3 0x10")],
        {"kind": "Pod"}, BEHIND,
    ),
    Case(
        "PodiumWatchBehind", "15m",
        [
            starts("0", "180", "390", "660"), by_life("watch_behind", *["0 3 3 3"] * 4, kind="Pod"),
            by_life("watch_behind", *["0x3"] * 4, kind="Job"),
        ],
        [starts("0", "180"), by_life("watch_behind", "0 3 3 3", "0x30", kind="Pod")],
        {"kind": "Pod"}, BEHIND, "deaf after each start", 0, "30s",
    ),
]  # fmt: skip

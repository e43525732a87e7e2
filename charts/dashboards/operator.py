"""The operator itself: does it keep up, and does it hear?"""

from dashboards.panels import Dashboard, Panel, Query

_RATE = "[$__rate_interval]"
_OF = "podium_operator_"

OPERATOR = Dashboard(
    name="operator",
    title="Podium / Operator",
    description="Looks at Rerankers, their queue, requests to the API server, watches.",
    variables={},
    panels=[
        Panel(
            "Reconciles",
            "Looks at a Reranker in a second; one that ends with an error is tried again.",
            [Query(f"sum by (result) (rate({_OF}reconciles_total{_RATE}))", "{{result}}")],
            "ops",
        ),
        Panel(
            "Duration of a look",
            "What it waits for the API server is in it.",
            [
                Query(
                    f"histogram_quantile(0.{share},"
                    f" sum by (le) (rate({_OF}reconcile_seconds_bucket{_RATE})))",
                    f"p{share}",
                )
                for share in (50, 95, 99)
            ],
            "s",
        ),
        Panel(
            "Queue",
            "Rerankers that are due and wait for a worker.",
            [Query(f"max by (pod) ({_OF}queue_depth)", "{{pod}}")],
        ),
        Panel(
            "Slowest worker",
            "Seconds since it got on with its Reranker; beyond 45 the operator is started again.",
            [Query(f"max by (pod) ({_OF}stuck_seconds)", "{{pod}}")],
            "s",
        ),
        Panel(
            "Requests to the API server",
            "By verb and answer; `none`: no answer came.",
            [Query(f"sum by (verb, code) (rate({_OF}api_requests_total{_RATE}))", "{{verb}} {{code}}")],
            "reqps",
        ),
        Panel(
            "Writes",
            "An operator at rest writes nothing.",
            [Query(f"sum by (what) (rate({_OF}writes_total{_RATE}))", "{{what}}")],
            "ops",
        ),
        Panel(
            "Watches behind",
            "Objects whose newest version a watch has not delivered.",
            [Query(f"max by (kind) ({_OF}watch_behind)", "{{kind}}")],
        ),
        Panel(
            "Leader",
            "1 where a pod holds the Lease and works.",
            [Query(f"max by (pod) ({_OF}leader)", "{{pod}}")],
        ),
        Panel(
            "Fields that the CRD lacks",
            "Above 0 the cluster's CRD is older than the operator.",
            [Query(f"max({_OF}undeclared_status_fields)", "fields")],
        ),
        Panel(
            "Memory",
            "Of the process.",
            [
                Query(
                    "sum by (pod) (process_resident_memory_bytes and on (instance) podium_operator_leader)",
                    "{{pod}}",
                )
            ],
            "bytes",
        ),
    ],
)

"""Every Reranker of the cluster, as the operator sees it."""

from dashboards.panels import Dashboard, Panel, Query

_OF = "podium_operator_reranker_"
_HERE = '{namespace=~"$namespace"}'


def _each(name: str) -> str:
    return f"max by (namespace, reranker) ({_OF}{name}{_HERE})"


FLEET = Dashboard(
    name="fleet",
    title="Podium / Fleet",
    description="All Rerankers: conditions, pods, models, images, downloads, GPUs.",
    variables={"namespace": f"{_OF}desired_replicas"},
    panels=[
        Panel(
            "Rerankers by readiness",
            "True: the newest spec serves. Unknown: on its way. False: look below.",
            [
                Query(
                    f'count by (status) ({_OF}condition{{namespace=~"$namespace", condition="Ready"}})',
                    "Ready={{status}}",
                )
            ],
        ),
        Panel(
            "Pods missing",
            "Pods that should run and do not answer.",
            [Query(f"{_each('desired_replicas')} - {_each('ready_replicas')}", "{{namespace}}/{{reranker}}")],
        ),
        Panel(
            "Conditions",
            "Why each is as it is; docs/operations.md tells what a reason means.",
            [
                Query(
                    f"max by (namespace, reranker, condition, reason) ({_OF}reason{_HERE})",
                    "",
                )
            ],
            table=True,
            columns=24,
        ),
        Panel(
            "Models, revisions, images, GPUs",
            "What each Reranker runs.",
            [Query(f"max by (namespace, reranker, model, revision, image, gpu) ({_OF}info{_HERE})", "")],
            table=True,
            columns=24,
        ),
        Panel(
            "Pods wanted",
            "Pods that should run now.",
            [Query(_each("desired_replicas"), "{{namespace}}/{{reranker}}")],
        ),
        Panel(
            "Pods ready",
            "Pods that answer.",
            [Query(_each("ready_replicas"), "{{namespace}}/{{reranker}}")],
        ),
        Panel(
            "Room to scale",
            "Pods that an autoscaler may still add.",
            [Query(f"{_each('max_replicas')} - {_each('desired_replicas')}", "{{namespace}}/{{reranker}}")],
        ),
        Panel(
            "Images behind",
            "Rerankers whose pods run an older image or template than the operator would give them.",
            [Query(f"count({_each('up_to_date')} == 0) or vector(0)", "behind")],
        ),
        Panel(
            "Download",
            "Bytes that are on the disk and bytes wanted, while a Job downloads; its pod tells them.",
            [
                Query(
                    f"max by (namespace, reranker) (podium_download_{name}{_HERE})",
                    f"{{{{namespace}}}}/{{{{reranker}}}} {legend}",
                )
                for name, legend in (("bytes", "done"), ("wanted_bytes", "wanted"))
            ],
            "bytes",
        ),
        Panel(
            "Download tries",
            "Jobs that were started for the model's source; more than one: look at CacheReady.",
            [Query(_each("download_attempts"), "{{namespace}}/{{reranker}}")],
        ),
        Panel(
            "GPUs asked for",
            "Pods wanted of the Rerankers that ask for a GPU, by resource.",
            [
                Query(
                    f"sum by (gpu) ({_each('desired_replicas')} * on (namespace, reranker) group_right ()"
                    f" max by (namespace, reranker, gpu)"
                    f' ({_OF}info{{namespace=~"$namespace", gpu!=""}}))',
                    "{{gpu}}",
                )
            ],
        ),
    ],
)

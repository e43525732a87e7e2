"""The parts of the spec that shape pods and their volume: gpu, cache, engine, scheduling, podTemplate."""

# ruff: noqa: RUF012  msgspec copies an empty list or dict that is a default

from typing import Annotated, Literal

from msgspec import Meta

from podium_operator.resource.fields import (
    Base,
    EnvVar,
    Labels,
    Name,
    Natural,
    ObjectName,
    Positive,
    Quantity,
    Resources,
    Short,
    Text,
    Toleration,
    Verbatim,
    doc,
)

DEFAULT_CACHE_SIZE = "10Gi"


class ResourceClaim(Base, frozen=True, kw_only=True):
    """A claim of dynamic resource allocation, or a template for one claim a pod; one of the two."""

    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")],
        doc("Its name inside the pod."),
    ]
    resource_claim_name: Annotated[Name | None, doc("A ResourceClaim, shared by all pods.")] = None
    resource_claim_template_name: Annotated[Name | None, doc("A ResourceClaimTemplate.")] = None


class Gpu(Base, frozen=True, kw_only=True):
    """The accelerator of each pod. Absent: the pods compute on CPU."""

    resource_name: Annotated[
        Name,
        doc(
            "Extended resource to ask for: `nvidia.com/gpu`, a MIG slice such as `nvidia.com/mig-1g.18gb`, "
            "`amd.com/gpu` (with an image of yours in `engine.image`). Default: nvidia.com/gpu."
        ),
    ] = "nvidia.com/gpu"
    count: Annotated[
        Annotated[int, Meta(ge=1, le=64)], doc("How many of it; more than 1 is refused. Default: 1.")
    ] = 1
    resource_claims: Annotated[
        Annotated[list[ResourceClaim], Meta(max_length=8)],
        doc(
            "Claims of dynamic resource allocation (Kubernetes 1.34) in place of `resourceName`.",
            x_kubernetes_list_type="map",
            x_kubernetes_list_map_keys=["name"],
        ),
    ] = []
    product: Annotated[
        Short | None,
        doc("Value of the node label `nvidia.com/gpu.product` to require; GPU feature discovery sets it."),
    ] = None
    min_memory: Annotated[
        Quantity | None,
        doc("Memory of one GPU at least, by the node label `nvidia.com/gpu.memory`, such as `40Gi`."),
    ] = None
    runtime_class_name: Annotated[Short | None, doc("RuntimeClass of the serving pods.")] = None


class RetentionPolicy(Base, frozen=True, kw_only=True):
    """What becomes of the downloaded files."""

    when_deleted: Annotated[
        Literal["Retain", "Delete"],
        doc("Whether the claim stays when the Reranker is deleted. Default: Retain."),
    ] = "Retain"
    when_model_changed: Annotated[
        Literal["Retain"], doc("Whether the files of the model before stay on the claim. Default: Retain.")
    ] = "Retain"


class DownloadTemplate(Base, frozen=True, kw_only=True):
    """Additions to the pods of the cache's Jobs, so that queues, autoscalers and meshes can be told."""

    labels: Annotated[Labels, doc("More labels of the Jobs and their pods.")] = {}
    annotations: Annotated[Labels, doc("More annotations of the pods.")] = {}
    scheduler_name: Annotated[
        Short | None, doc("Scheduler of the download's pod. Default: the cluster's.")
    ] = None
    priority_class_name: Annotated[Short | None, doc("PriorityClass of the download's pod.")] = None
    runtime_class_name: Annotated[Short | None, doc("RuntimeClass of the download's pod.")] = None


class Download(Base, frozen=True, kw_only=True):
    """The Job that fills the cache."""

    resources: Annotated[
        Resources | None,
        doc(
            "Of its container. Default: 250m CPU, 512Mi to 2Gi memory; with `engine.dtype: int8`, for which "
            "it loads the model, the memory of `engine.resources`."
        ),
    ] = None
    node_selector: Annotated[
        Labels | None, doc("Labels of its node. Default: those of `scheduling.nodeSelector`.")
    ] = None
    tolerations: Annotated[
        Annotated[list[Toleration], Meta(max_length=32)],
        doc(
            "Taints that it bears besides those that the serving pods bear.", x_kubernetes_list_type="atomic"
        ),
    ] = []
    pod_template: Annotated[DownloadTemplate, doc("Additions to its pods.")] = DownloadTemplate()
    backoff_limit: Annotated[Natural, doc("Tries of one Job after temporary failures. Default: 3.")] = 3
    active_deadline_seconds: Annotated[Positive, doc("Seconds that one Job may take. Default: 7200.")] = 7200


class Cache(Base, frozen=True, kw_only=True):
    """The claim that keeps downloaded models. It has no meaning for `builtin` and `pvc://`."""

    size: Annotated[
        Quantity | None,
        doc(
            "Size of the claim that is made; it can grow, never shrink, and one that someone else grew stays "
            f"as it is. Default: {DEFAULT_CACHE_SIZE}."
        ),
    ] = None
    storage_class_name: Annotated[
        Short | None, doc("StorageClass of the claim that is made. Default: the cluster's. Immutable.")
    ] = None
    access_modes: Annotated[
        Annotated[
            list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]],
            Meta(min_length=1, max_length=3),
        ]
        | None,
        doc(
            "Access modes of the claim that is made. With ReadWriteOnce the pods keep to one node and have "
            "no disruption budget; with ReadWriteOncePod none runs during a download. "
            "Default: ReadWriteOnce. Immutable.",
            x_kubernetes_list_type="atomic",
        ),
    ] = None
    claim_name: Annotated[
        Name | None,
        doc("An existing claim to use in place of one that is made; it is never deleted. Immutable."),
    ] = None
    retention_policy: Annotated[RetentionPolicy, doc("What becomes of the downloaded files.")] = (
        RetentionPolicy()
    )
    download: Annotated[Download, doc("The Job that fills the cache.")] = Download()


class Engine(Base, frozen=True, kw_only=True):
    """The serving container: the service's settings, its image and its resources."""

    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"] | None,
        doc("Number format of the weights. `int8` is for the CPU alone. Default: the device's best."),
    ] = None
    max_length: Annotated[
        Annotated[int, Meta(ge=16, le=1_048_576)] | None,
        doc("Tokens of a pair at most. Default: the model's own."),
    ] = None
    max_batch_tokens: Annotated[
        Annotated[int, Meta(ge=16, le=2_147_483_647)] | None,
        doc("Tokens of a batch at most. Default: by device."),
    ] = None
    settings: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=4096)]],
        doc('Other settings of the service, names in snake case, values as strings: `self_test: "off"`.'),
    ] = {}
    image: Annotated[
        Text | None,
        doc("Image of the pods and the Job. Default: the operator's at the last change of the spec."),
    ] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None,
        doc("When the image is pulled. Default: IfNotPresent."),
    ] = None
    image_pull_secrets: Annotated[
        Annotated[list[ObjectName], Meta(max_length=16)],
        doc(
            "Secrets with registry credentials, besides the operator's.",
            x_kubernetes_list_type="map",
            x_kubernetes_list_map_keys=["name"],
        ),
    ] = []
    env: Annotated[
        Annotated[list[EnvVar], Meta(max_length=128)],
        doc(
            "More environment variables of the serving container.",
            x_kubernetes_list_type="map",
            x_kubernetes_list_map_keys=["name"],
        ),
    ] = []
    env_from: Annotated[
        Annotated[list[Verbatim], Meta(max_length=16)],
        doc("More sources of environment variables, as in a pod.", x_kubernetes_list_type="atomic"),
    ] = []
    resources: Annotated[
        Resources | None,
        doc("Of the serving container, the GPU apart. Default: 1 CPU and 2Gi memory requested, no limit."),
    ] = None


class Scheduling(Base, frozen=True, kw_only=True):
    """Where the pods may run."""

    node_selector: Annotated[Labels, doc("Labels that a node must bear.")] = {}
    tolerations: Annotated[
        Annotated[list[Toleration], Meta(max_length=32)],
        doc("Taints that the pods bear; that of the GPU is added.", x_kubernetes_list_type="atomic"),
    ] = []
    affinity: Annotated[Verbatim | None, doc("Affinity, as in a pod.")] = None
    topology_spread_constraints: Annotated[
        Annotated[list[Verbatim], Meta(max_length=16)],
        doc(
            "How pods are spread, as in a pod. Default: softly over nodes and zones.",
            x_kubernetes_list_type="atomic",
        ),
    ] = []
    priority_class_name: Annotated[Short | None, doc("PriorityClass of the pods.")] = None
    scheduler_name: Annotated[Short | None, doc("Scheduler of the pods. Default: the cluster's.")] = None


class PodTemplate(Base, frozen=True, kw_only=True):
    """Additions to the serving pods."""

    labels: Annotated[Labels, doc("More labels of the pods.")] = {}
    annotations: Annotated[Labels, doc("More annotations of the pods.")] = {}
    overlay: Annotated[
        Verbatim | None,
        doc(
            "A piece of a pod's `spec` that is merged over the operator's, lists by their items' names. The "
            "operator's setting `overlay` says what it may be: by default what the restricted profile admits."
        ),
    ] = None

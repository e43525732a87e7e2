"""What a user asks for: `spec` of a Reranker, every field documented.

The CRD and `docs/reranker.md` are generated from these structs. Defaults stand here and not in the CRD's
schema, so that nothing is written into a user's object; rules across fields stand in `rules`.
"""

# ruff: noqa: RUF012  msgspec copies an empty list or dict that is a default

from typing import Annotated, Literal

from msgspec import Meta

from podium_operator.resource.fields import (
    Base,
    ConfigMapKey,
    IntOrPercent,
    Labels,
    Natural,
    Pattern,
    Port,
    Positive,
    SecretKey,
    Short,
    Text,
    Verbatim,
    doc,
)
from podium_operator.resource.workload import Cache, Engine, Gpu, PodTemplate, Scheduling


class Proxy(Base, frozen=True, kw_only=True):
    """A proxy between the download and the hub."""

    http_proxy: Annotated[Text | None, doc("Address for http URLs (`HTTP_PROXY`).")] = None
    https_proxy: Annotated[Text | None, doc("Address for https URLs (`HTTPS_PROXY`).")] = None
    no_proxy: Annotated[Text | None, doc("Hosts that are asked directly, comma-separated (`NO_PROXY`).")] = (
        None
    )


class Model(Base, frozen=True, kw_only=True):
    """Which model is served and where it comes from."""

    uri: Annotated[
        Annotated[str, Meta(min_length=1, max_length=512)],
        doc(
            "`hf://org/name` (a hub), `builtin` (the small model inside the image), or `pvc://claim/path` (a "
            "folder on an existing claim)."
        ),
    ]
    revision: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=128)] | None,
        doc("Branch, tag or commit of a hub model. Default: the hub's main branch at the first download."),
    ] = None
    served_name: Annotated[Short | None, doc("Name in answers and metrics. Default: the uri's.")] = None
    include: Annotated[
        Annotated[list[Pattern], Meta(max_length=64)],
        doc(
            "Patterns of the files to download. Default: what a reranker needs.", x_kubernetes_list_type="set"
        ),
    ] = []
    exclude: Annotated[
        Annotated[list[Pattern], Meta(max_length=64)],
        doc("Patterns of the files to leave out.", x_kubernetes_list_type="set"),
    ] = []
    trust_remote_code: Annotated[
        bool, doc("Run the model's own Python code. Needs a `revision` of 40 hex digits. Default: false.")
    ] = False
    endpoint: Annotated[Text | None, doc("Address of a private hub. Default: the public one.")] = None
    credentials_secret_ref: Annotated[
        SecretKey | None, doc("The hub's token, for the download alone; serving pods never see it.")
    ] = None
    ca_bundle_ref: Annotated[
        ConfigMapKey | None, doc("PEM certificates that the download trusts in place of the usual ones.")
    ] = None
    proxy: Annotated[Proxy | None, doc("Proxy between the download and the hub.")] = None


class Autoscaling(Base, frozen=True, kw_only=True):
    """How many pods run, by the tokens that wait in them (`podium_queue_tokens`)."""

    engine: Annotated[
        Literal["HPA", "KEDA"],
        doc("`HPA` needs an adapter for custom metrics, `KEDA` a Prometheus. Default: HPA."),
    ] = "HPA"
    min_replicas: Annotated[Natural, doc("Pods at least, one or more. Default: 1.")] = 1
    max_replicas: Annotated[Positive, doc("Pods at most.")]
    target_queue_tokens: Annotated[Positive, doc("Waiting tokens per pod to aim at. Default: 8192.")] = 8192
    prometheus_address: Annotated[
        Text | None,
        doc("Prometheus that KEDA asks. Default: the operator's setting PODIUM_OPERATOR_PROMETHEUS_ADDRESS."),
    ] = None
    behavior: Annotated[
        Verbatim | None,
        doc(
            "`behavior` of the HorizontalPodAutoscaler. Default: up at once, down by one pod a minute after "
            "five minutes."
        ),
    ] = None


class Rollout(Base, frozen=True, kw_only=True):
    """How a change of the pods is rolled out."""

    max_surge: Annotated[
        IntOrPercent | None,
        doc(
            "Pods above the wanted number during a roll. Default: 0 with gpu (a GPU is not free yet), else 1."
        ),
    ] = None
    max_unavailable: Annotated[
        IntOrPercent | None, doc("Pods that may be missing during a roll. Default: 1 with gpu, else 0.")
    ] = None
    min_ready_seconds: Annotated[Natural, doc("Seconds that a pod must be ready to count. Default: 0.")] = 0
    progress_deadline_seconds: Annotated[
        Positive | None,
        doc("Seconds without progress until a roll is stuck. Default: 1.2 times the startup time, + 60."),
    ] = None
    paused: Annotated[bool, doc("Hold changes of the pods back. Default: false.")] = False
    on_upgrade: Annotated[
        Literal["Keep", "Roll"] | None,
        doc(
            "What an operator with another image or template does: `Keep` the pods until the spec asks for "
            "others, or `Roll` them, one Reranker of a namespace after the other while the one before is "
            "ready. Default: the operator's setting PODIUM_OPERATOR_ON_UPGRADE."
        ),
    ] = None


class Probes(Base, frozen=True, kw_only=True):
    """How long the pods may take."""

    startup_timeout_seconds: Annotated[
        Positive, doc("Seconds to load the model, then the container is started again. Default: 900.")
    ] = 900


class Termination(Base, frozen=True, kw_only=True):
    """How a pod ends."""

    drain_seconds: Annotated[
        Natural,
        doc("Seconds that an ending pod still takes requests, until no client knows it. Default: 10."),
    ] = 10
    grace_period_seconds: Annotated[
        Positive, doc("Seconds until it is killed; more than `drainSeconds`. Default: 60.")
    ] = 60


class Disruption(Base, frozen=True, kw_only=True):
    """What drains may do. Two and more pods have a PodDisruptionBudget, unless their volume is one node's."""

    min_available: Annotated[
        Positive | None,
        doc(
            "Pods that must stay, less than are wanted. Default: all but one. Also what Ready asks for; "
            "default: 1."
        ),
    ] = None


class Service(Base, frozen=True, kw_only=True):
    """The Service in front of the pods; it bears the Reranker's name."""

    port: Annotated[Port, doc("Its port. Default: 80.")] = 80
    type: Annotated[
        Literal["ClusterIP", "NodePort", "LoadBalancer"], doc("Its type. Default: ClusterIP.")
    ] = "ClusterIP"
    annotations: Annotated[Labels, doc("Annotations, for a load balancer's controller.")] = {}


class Auth(Base, frozen=True, kw_only=True):
    """Who may ask."""

    api_keys_secret_ref: Annotated[
        SecretKey | None,
        doc(
            "Accepted API keys, comma-separated; `KEY # NAME` names one in metrics, with no comma in it. "
            "Absent: none is needed."
        ),
    ] = None


class NetworkPolicy(Base, frozen=True, kw_only=True):
    """Whom the pods talk to; only a network plugin that enforces policies does so."""

    enabled: Annotated[bool, doc("Whether policies are made. Default: false.")] = False
    ingress_from: Annotated[
        Annotated[list[Verbatim], Meta(max_length=32)],
        doc(
            "Peers that may ask, as in a NetworkPolicy. Default: the whole cluster.",
            x_kubernetes_list_type="atomic",
        ),
    ] = []


class ServiceMonitor(Base, frozen=True, kw_only=True):
    """The objects that tell a Prometheus operator to scrape the pods, and those that download."""

    enabled: Annotated[bool, doc("Whether they are made. Default: false.")] = False
    interval: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9]+(ms|s|m|h)$", max_length=16)], doc("Default: 30s.")
    ] = "30s"
    labels: Annotated[Labels, doc("Labels that the Prometheus selects by.")] = {}


class Monitoring(Base, frozen=True, kw_only=True):
    """How metrics are collected."""

    service_monitor: Annotated[
        ServiceMonitor, doc("A ServiceMonitor for the pods, a PodMonitor for downloads.")
    ] = ServiceMonitor()


class RerankerSpec(Base, frozen=True, kw_only=True):
    """What is asked for."""

    model: Annotated[Model, doc("Which model is served and where it comes from.")]
    replicas: Annotated[Natural | None, doc("Pods that run. Default: 1. Excludes `autoscaling`.")] = None
    autoscaling: Annotated[
        Autoscaling | None, doc("How many pods run, by the tokens that wait. Excludes `replicas`.")
    ] = None
    suspend: Annotated[bool, doc("Run no pod and keep everything else. Default: false.")] = False
    gpu: Annotated[Gpu | None, doc("The accelerator of each pod. Absent: CPU.")] = None
    cache: Annotated[Cache, doc("The claim that keeps downloaded models.")] = Cache()
    engine: Annotated[Engine, doc("The serving container: settings, image, resources.")] = Engine()
    scheduling: Annotated[Scheduling, doc("Where the pods may run.")] = Scheduling()
    rollout: Annotated[Rollout, doc("How a change of the pods is rolled out.")] = Rollout()
    probes: Annotated[Probes, doc("How long the pods may take.")] = Probes()
    termination: Annotated[Termination, doc("How a pod ends.")] = Termination()
    disruption: Annotated[Disruption, doc("What drains may do.")] = Disruption()
    service: Annotated[Service, doc("The Service in front of the pods.")] = Service()
    auth: Annotated[Auth, doc("Who may ask.")] = Auth()
    network_policy: Annotated[NetworkPolicy, doc("Whom the pods talk to.")] = NetworkPolicy()
    monitoring: Annotated[Monitoring, doc("How metrics are collected.")] = Monitoring()
    pod_template: Annotated[PodTemplate, doc("Additions to the serving pods.")] = PodTemplate()

"""For each reason the sentence that says what to do; `docs/reranker.md` prints this table."""

REMEDIES = {
    "Unauthorized": "put a token that the hub accepts into the Secret of model.credentialsSecretRef",
    "GatedModel": "accept the model's terms on the hub with the account of model.credentialsSecretRef",
    "ModelNotFound": "check model.uri, model.revision and model.endpoint; a private model also needs "
    "model.credentialsSecretRef",
    "RateLimited": "wait, or set model.credentialsSecretRef: hubs let named users ask more often",
    "TLSFailure": "put the hub's certificate authority into the ConfigMap of model.caBundleRef",
    "ProxyFailure": "check model.proxy and that the proxy reaches the hub",
    "HubUnavailable": "check model.endpoint and the network between the cluster and the hub",
    "NoSpace": "raise cache.size (the StorageClass must allow growth), or leave files out by model.exclude",
    "ChecksumMismatch": "the hub or a mirror sent other bytes than it announced: check model.endpoint",
    "ModelLoadFailed": "serve a model with a reranking head; `podium serve` by hand shows the whole error",
    "SelfTestFailed": "the model ranks a known pair the wrong way round: it is no reranker, or set "
    'engine.settings.self_test to "warn"',
    "OOMKilled": "raise the memory limit (engine.resources; for the download cache.download.resources), or "
    "lower engine.maxBatchTokens",
    "Evicted": "the node ran short: raise the requests (engine.resources, cache.download.resources)",
    "DeadlineExceeded": "raise cache.download.activeDeadlineSeconds; the next try resumes",
    "ImagePullFailed": "check engine.image, engine.imagePullSecrets and that the node reaches the registry",
    "SecretNotFound": "create the Secret with that key, or mend the reference (model.credentialsSecretRef, "
    "auth.apiKeysSecretRef, engine.env)",
    "CrashLoopBackOff": "read `kubectl logs --previous` of the pod",
    "StartupTimeout": "raise probes.startupTimeoutSeconds, or give the pod more CPU",
    "NodeNotReady": "mend the node, or delete the pod so that it starts elsewhere",
    "InsufficientGPU": "free a GPU (`suspend: true` on another Reranker frees its own), add a node, or ask "
    "for fewer",
    "NoMatchingNode": "check scheduling, gpu.product and gpu.minMemory against `kubectl get nodes "
    "--show-labels`, and the requests against what is free",
    "UntoleratedTaint": "add the taint (`kubectl describe node` shows it) to scheduling.tolerations, or take "
    "it off the node",
    "VolumeNodeAffinityConflict": "the claim's volume lies where these pods cannot run: use a StorageClass "
    "with ReadWriteMany, or delete the claim so that it is made anew",
    "Preempted": "raise scheduling.priorityClassName",
    "Unschedulable": "check cache.download.nodeSelector and tolerations, and the volume's node",
    "Refused": "mend what the message names: a field, a quota, a LimitRange, a webhook, or the namespace's "
    "Pod Security level",
    "PVCPending": "`kubectl describe pvc` shows what the provisioner says",
    "PVCTerminating": "set suspend to true until the claim is gone, then back; one that the operator made is "
    "made and filled anew",
    "PVCLost": "the claim lost its volume: delete the claim, it is made and filled anew",
    "ClaimNotFound": "create the claim, or mend cache.claimName or model.uri",
    "NameConflict": "delete or rename that object, or give the Reranker another name",
    "ReadWriteOnceNoRoom": "make room on that node or uncordon it; pods on a claim with ReadWriteMany are "
    "bound to no node",
    "ClaimNotResizable": "allow it to grow (allowVolumeExpansion: true on its StorageClass, more quota), and "
    "it does so by itself; else set suspend to true, delete the claim and set suspend back: it is made and "
    "filled anew in that size",
    "ConflictingFieldManager": "stop the other manager from writing that field, or set it in the Reranker",
    "AnotherOperator": "uninstall one of the two releases (each Lease is named namespace/name), or give them "
    "different watchNamespaces",
    "WaitingForTurn": "mend or suspend that one, see its conditions, or set rollout.onUpgrade to Keep",
    "WaitingForDeletion": "wait; where it lasts, `kubectl get KIND NAME -o yaml` shows under "
    "metadata.finalizers who must let go of it, or that the garbage collector has not come by",
    "OutdatedCRD": "apply manifests/crd.yaml of the operator's version, or upgrade the release with "
    "crds.enabled=true",
    "APINotInstalled": "install the API that the message names, or switch the field off",
    "KEDAMissing": "install KEDA, or use autoscaling.engine HPA",
    "PrometheusAddressMissing": "set autoscaling.prometheusAddress, or PODIUM_OPERATOR_PROMETHEUS_ADDRESS on "
    "the operator",
    "MetricsUnavailable": "check the metrics adapter (HPA) or the Prometheus (KEDA) and that "
    "podium_queue_tokens is scraped",
    "ProgressDeadlineExceeded": "see Available and Scheduled for the cause",
}


def with_remedy(reason: str, message: str) -> str:
    """Return the message with the remedy of its reason."""
    remedy = REMEDIES.get(reason)
    return f"{message.rstrip('. ')}. To mend it: {remedy}." if remedy else message

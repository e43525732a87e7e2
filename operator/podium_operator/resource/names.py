"""Names on the wire: of the resource itself, and of what the operator puts on other objects."""

GROUP, VERSION, KIND, PLURAL, SHORT_NAME = "podium.sh", "v1alpha1", "Reranker", "rerankers", "rr"
API_VERSION = f"{GROUP}/{VERSION}"
MANAGER = "podium-operator"
"""Field manager of everything that the operator writes."""

OWNER_LABEL = f"{GROUP}/reranker"
"""On every child and pod: the Reranker's name. The operator watches nothing without it."""
CLAIM_LABEL = f"{GROUP}/claim"
APPLIED_ANNOTATION = f"{GROUP}/applied"
"""On every child: digest of what was applied, so that a field that is no longer wanted is noticed."""
OPERATOR_ANNOTATION = f"{GROUP}/operator"
"""On every child: namespace and name of the Lease of the operator that applied it last."""
PINNED_ANNOTATION = f"{GROUP}/pinned"
"""On the Deployment: the spec that shaped its pods and what they took from the operator's settings."""
TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On the Deployment: the template of its pods as it was applied, which an upgrade does not render anew; its
digest where there is no room for it."""
ROLLED_ANNOTATION = f"{GROUP}/rolled"
"""On the Deployment: when an upgrade of the operator moved its pods (`rollout.onUpgrade: Roll`)."""
REPLICAS_ANNOTATION = f"{GROUP}/replicas"
"""On the Deployment: `fixed` while the operator sets the number, `autoscaled` while it leaves it out."""
ROLL_ANNOTATION = f"{GROUP}/roll"
"""On the Deployment: `replacing` while old pods go before new ones come, until the roll is over, or
`replacing-all` where all of them go at once."""
SHAPE_ANNOTATION = f"{GROUP}/shape"
ATTEMPT_ANNOTATION = f"{GROUP}/attempt"
"""On the cache's Jobs: digest of the spec that shaped a download, and which try it is, from 1."""

PERMANENT_EXIT = 42
"""Exit code of `podium fetch` and `podium serve` where trying again is of no use."""

METRICS = "metrics"
"""Name of the port where a download tells how far it is."""
CONTAINER = "reranker"
"""Name of the serving container."""
SERVING, DOWNLOAD, BINDER = "reranker", "reranker-download", "reranker-binder"
"""Values of app.kubernetes.io/name; the Service selects the first."""

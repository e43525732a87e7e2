"""The words of an apply, read back from the live object by what the apply owns."""

from podium_operator.resource.names import MANAGER, TEMPLATE_ANNOTATION
from podium_operator.seen.managed_fields import owned_part
from podium_operator.seen.store import trim

FIELDS = {
    "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
    "f:spec": {
        "f:containers": {
            'k:{"name":"reranker"}': {
                ".": {},
                "f:name": {},
                "f:image": {},
                "f:args": {},
                "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                "f:ports": {'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            }
        },
        "f:tolerations": {},
        "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
    },
}
LIVE = {
    "metadata": {"labels": {"app.kubernetes.io/name": "reranker", "theirs": "1"}},
    "spec": {
        "containers": [
            {"name": "injected", "image": "x"},
            {
                "name": "reranker",
                "image": "podium:test",
                "args": ["serve"],
                "env": [{"name": "A", "value": "1"}, {"name": "THEIRS", "value": "2"}],
                "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
                "imagePullPolicy": "Always",
            },
        ],
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "theirs", "emptyDir": {}}],
        "restartPolicy": "Always",
    },
}
OURS = {
    "metadata": {"labels": {"app.kubernetes.io/name": "reranker"}},
    "spec": {
        "containers": [
            {
                "name": "reranker",
                "image": "podium:test",
                "args": ["serve"],
                "env": [{"name": "A", "value": "1"}],
                "ports": [{"containerPort": 8080}],
            }
        ],
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def test_what_is_named_is_ours_down_to_the_items_of_lists_and_the_rest_is_others() -> None:
    assert owned_part(LIVE, FIELDS) == OURS


def test_a_deployment_without_the_annotation_is_kept_with_what_our_apply_owns_of_its_template() -> None:
    def entry(manager: str, operation: str) -> dict:
        fields = {"f:spec": {"f:template": FIELDS, "f:replicas": {}}}
        return {"manager": manager, "operation": operation, "fieldsV1": fields}

    body = {
        "kind": "Deployment",
        "metadata": {"name": "demo", "annotations": {}, "managedFields": [entry(MANAGER, "Apply")]},
        "spec": {"replicas": 1, "template": LIVE},
    }
    assert trim(body)["appliedTemplate"] == OURS
    metadata = {**body["metadata"], "annotations": {TEMPLATE_ANNOTATION: "{}"}}
    assert "appliedTemplate" not in trim({**body, "metadata": metadata})
    others = {**body["metadata"], "managedFields": [entry("kubectl", "Apply"), entry(MANAGER, "Update")]}
    assert "appliedTemplate" not in trim({**body, "metadata": others})

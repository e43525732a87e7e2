#!/bin/sh
# Bring a cluster up, build and load the images, run tests/e2e on it, take it down: tests/e2e/run.sh [pytest arguments].
# `tests/e2e/run.sh images` builds the images and no more.
#
# The cluster comes from the program that PODIUM_CLUSTER_TOOL names, if it is set:
#   TOOL up --nodes cpu,gpu · TOOL env (prints exports) · TOOL build -t NAME --target T --build-arg A=V DIR · TOOL load NAME… ·
#   TOOL stop gpu · TOOL start gpu (the kubelet of node-gpu) · TOOL down · TOOL assets (prints a folder for KUBEBUILDER_ASSETS);
#   every node reaches its StorageClass `shared`
# else from kind, with docker, and a worker that says it has two GPUs. PODIUM_E2E_KEEP=1 leaves it running.
set -eu
cd "$(dirname "$0")/../.."
service=podium:e2e operator=podium-operator:e2e name=podium-e2e
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

build=${PODIUM_CLUSTER_TOOL:-docker}
images() {
    "$build" build -t $service --target service-cpu .
    "$build" build -t $operator --target operator .
    "$build" build -t $operator-next --target operator --build-arg VERSION=next .
}
if [ "$*" = images ]; then
    images
    exit
fi

if [ -n "${PODIUM_CLUSTER_TOOL:-}" ]; then
    down() { "$PODIUM_CLUSTER_TOOL" down; }
elif command -v kind >/dev/null && command -v docker >/dev/null; then
    down() { kind delete cluster --name $name; rm -f "$kubeconfig"; }
else
    echo "tests/e2e/run.sh: needs kind and docker, or a program in PODIUM_CLUSTER_TOOL" >&2
    exit 2
fi
running=
finish() {
    status=$?
    for started in $running; do kill "${started%%:*}" 2>/dev/null || true; done
    [ -n "${PODIUM_E2E_KEEP:-}" ] || down
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -n "${PODIUM_CLUSTER_TOOL:-}" ]; then
    "$PODIUM_CLUSTER_TOOL" up --nodes cpu,gpu
    eval "$("$PODIUM_CLUSTER_TOOL" env)"
    images
    "$PODIUM_CLUSTER_TOOL" load $service $operator $operator-next
    PODIUM_E2E_KUBECONFIG=$KUBECONFIG
    PODIUM_E2E_NODE=node-gpu
    export PODIUM_E2E_NETWORK_CLASS=shared
    PODIUM_E2E_NODE_STOP="$PODIUM_CLUSTER_TOOL stop gpu"
    PODIUM_E2E_NODE_START="$PODIUM_CLUSTER_TOOL start gpu"
else
    kubeconfig=$(mktemp)
    kind create cluster --name $name --kubeconfig "$kubeconfig" --config - <<'KIND'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
KIND
    images
    kind load docker-image --name $name $service $operator $operator-next
    PODIUM_E2E_NODE=$name-worker2
    export KUBECONFIG="$kubeconfig"
    kubectl taint node $PODIUM_E2E_NODE nvidia.com/gpu=present:NoSchedule
    kubectl label node $PODIUM_E2E_NODE nvidia.com/gpu.product=NVIDIA-H200 nvidia.com/gpu.memory=143771
    kubectl patch node $PODIUM_E2E_NODE --subresource=status --type=merge \
        -p '{"status": {"capacity": {"nvidia.com/gpu": "2", "nvidia.com/mig-1g.18gb": "2"}}}'
    PODIUM_E2E_KUBECONFIG=$kubeconfig
    PODIUM_E2E_NODE_STOP="docker exec $PODIUM_E2E_NODE systemctl stop kubelet"
    PODIUM_E2E_NODE_START="docker exec $PODIUM_E2E_NODE systemctl start kubelet"
fi
export PODIUM_E2E_KUBECONFIG PODIUM_E2E_NODE PODIUM_E2E_NODE_STOP PODIUM_E2E_NODE_START
export PODIUM_E2E_SERVICE_IMAGE=$service PODIUM_E2E_OPERATOR_IMAGE=$operator
export PODIUM_E2E_OPERATOR_NEXT_IMAGE=$operator-next
unset KUBECONFIG
if [ $# -gt 0 ]; then
    "$python" -m pytest "$@"
    exit
fi

# Most of a test is waiting for a pod to start, so three sets of files run beside each other, what asks for GPUs in one
# of them; then comes what needs the cluster for itself: one test has a minute to keep to, one installs, two files take nodes or the
# operator away.
logs=$(mktemp -d)
beside() {
    set_name=$1
    shift
    PODIUM_E2E_PATIENCE=${PODIUM_E2E_PATIENCE:-3} "$python" -m pytest -p no:cacheprovider "$@" >"$logs/$set_name" 2>&1 &
    running="$running $!:$set_name"
}
beside gpu tests/e2e/test_gpu.py tests/e2e/test_rollout.py
beside hub tests/e2e/test_hub.py tests/e2e/test_images.py
minute=tests/e2e/test_cpu.py::test_the_cpu_example_is_ready_within_a_minute_and_answers_from_another_namespace
beside pods tests/e2e/test_faults.py tests/e2e/test_cpu.py --deselect $minute
failed=
for started in $running; do
    wait "${started%%:*}" || failed="$failed ${started#*:}"
    cat "$logs/${started#*:}"
done
running=
rm -r "$logs"
"$python" -m pytest $minute tests/e2e/test_documents.py tests/e2e/test_nodes.py tests/e2e/test_release.py || failed="$failed alone"
[ -z "$failed" ] || { echo "tests/e2e: failed:$failed" >&2; exit 1; }

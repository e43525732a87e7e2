#!/bin/sh
# Run every test: tests/run.sh. First the models' tests beside all others, a core each; then, beside each other, sets of
# those that mostly wait for a control plane of their own (they skip where KUBEBUILDER_ASSETS names none). What a set in
# the background says is shown when it has ended.
set -eu
cd "$(dirname "$0")/.."
pytest=${PYTEST:-.venv/bin/pytest}
# The longest waits: outages, five quiet minutes, a minute between two lists.
waiting="tests/cluster/test_faults.py tests/cluster/test_load.py"
quiet="tests/cluster/test_stability.py tests/cluster/test_upgrade.py"
# Once more on the oldest Kubernetes that the control plane's programs can act as: which fields and rules it knows.
oldest="tests/cluster/test_granted.py tests/cluster/test_rules.py"
others=$(for file in tests/cluster/test_*.py; do case " $waiting $quiet " in *" $file "*) ;; *) echo "$file" ;; esac; done)

logs=$(mktemp -d)
running=
finish() {
    for started in $running; do kill "${started%%:*}" 2>/dev/null || true; done
    rm -r "$logs"
}
trap finish EXIT
trap 'exit 130' INT TERM

failed=
beside() {
    set_name=$1
    shift
    env PODIUM_KUBERNETES="$set_name" $pytest -p no:cacheprovider "$@" >"$logs/$set_name" 2>&1 &
    running="$running $!:$set_name"
}
join() {
    for started in $running; do
        wait "${started%%:*}" || failed="$failed ${started#*:}"
        cat "$logs/${started#*:}"
    done
    running=
}

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
beside models tests/models tests/bench
$pytest --ignore=tests/cluster --ignore=tests/chart --ignore=tests/models --ignore=tests/bench tests || failed="$failed most"
join
# shellcheck disable=SC2086
for each in "cluster $others" "waiting $waiting" "quiet $quiet" "oldest $oldest" "chart tests/chart"; do beside $each; done
join
[ -z "$failed" ] || { echo "tests: failed:$failed" >&2; exit 1; }

"""A client in another namespace: it asks by the Service's DNS name, once or without pause."""

import json
import subprocess
from types import TracebackType
from typing import Any, Self

from e2e.kube import Namespace, environment, program

POD = "client"

# A node routes to a pod a moment after the pod's readiness has been written; until then the Service's address
# refuses. That refusal alone is tried again.
_ASK = """
import sys, time, urllib.error, urllib.request
request = urllib.request.Request(
    sys.argv[1] + "/v2/rerank", sys.argv[2].encode(), {"content-type": "application/json"}
)
patience = time.monotonic() + 10
while True:
    try:
        print(urllib.request.urlopen(request, timeout=30).read().decode())
        break
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > patience:
            raise
        time.sleep(0.2)
"""

# Two askers, a new connection for each request, so that each may reach another pod; what fails is counted
# and not tried again. The end of stdin ends it.
_KEEP_ASKING = """
import collections, json, sys, threading, time, urllib.request
stop, lock, asked, failed = threading.Event(), threading.Lock(), 0, collections.Counter()
def ask():
    global asked
    while not stop.is_set():
        request = urllib.request.Request(
            sys.argv[1] + "/v2/rerank", sys.argv[2].encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            trouble = None
        except OSError as error:
            trouble = str(error)
        with lock:
            asked += 1
            if trouble:
                failed[trouble] += 1
        time.sleep(0.02)
askers = [threading.Thread(target=ask) for _ in range(2)]
[asker.start() for asker in askers]
sys.stdin.read()
stop.set()
[asker.join() for asker in askers]
print(json.dumps({"asked": asked, "failed": failed}))
"""

QUESTION = {
    "query": "What do pandas eat?",
    "documents": ["Paris is the capital of France.", "Pandas eat almost nothing but bamboo."],
}


def manifest(image: str) -> dict[str, Any]:
    """Return a pod that has Python and does nothing by itself."""
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": POD,
        "image": image,
        "command": ["python", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
        "securityContext": restricted,
        "imagePullPolicy": "IfNotPresent",
    }
    spec = {"containers": [container], "enableServiceLinks": False, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}


class Client:
    """The pod of `manifest`, running."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def ask(self, url: str, question: dict[str, Any] | None = None) -> Any:
        """Rank the panda above Paris through the Service; KubectlError with the traceback where it fails."""
        body = json.dumps(question or QUESTION)
        return json.loads(self._namespace.kubectl("exec", POD, "--", "python", "-c", _ASK, url, body))

    def run(self, *command: str) -> str:
        """Run a program of the service's image in the pod."""
        return self._namespace.kubectl("exec", POD, "--", *command)

    def keep_asking(self, url: str) -> "Asking":
        """Wait for an answer; return a context in which the client asks without pause, and which counts."""
        self.ask(url)
        return Asking(self._namespace, url)


class Asking:
    """Requests without pause. `asked` and `failed` are known when the context has ended."""

    def __init__(self, namespace: Namespace, url: str) -> None:
        self._namespace, self._url = namespace, url
        self.asked = 0
        self.failed: dict[str, int] = {}

    def __enter__(self) -> Self:
        kubectl = program("kubectl")
        assert kubectl is not None
        exec_into = [kubectl, "-n", self._namespace.name, "exec", "-i", POD, "--"]
        self._process = subprocess.Popen(
            [*exec_into, "python", "-c", _KEEP_ASKING, self._url, json.dumps(QUESTION)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        output, _ = self._process.communicate(timeout=60)
        if kind is None:
            counts = json.loads(output)
            self.asked, self.failed = counts["asked"], counts["failed"]

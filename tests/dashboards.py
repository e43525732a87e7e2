"""Draws the pictures of the dashboards in docs/operations.md: `PYTHONPATH=tests python tests/dashboards.py`.

Needs what the live tests of the dashboards need: PODIUM_PROMETHEUS, and KUBEBUILDER_ASSETS for Fleet and
Operator. Names behind the command draw those alone.
"""

import contextlib
import itertools
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.conftest import control_plane
from cluster.harness import wait_for
from cluster.operator_process import OperatorProcess, grant
from cluster.space import Space
from drawing import dashboard_svg
from hub import Hub, downloading
from prometheus import Prometheus, scraping
from serving import Serving, serving, until

from podium.models.load import load
from podium.weights.source import BUILTIN

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WARM_S = 120
"""For a model to be warm on a busy machine."""
SECONDS = 120
"""From end to end of a picture."""
TEXT = "Bamboo is what pandas eat, and the river is long where they sleep in the shade of trees."


def caller(server: Serving, name: int, stop: threading.Event) -> None:
    """Ask, more and less in turn, in several APIs, some of it again, too long or wrong."""
    for number in itertools.count():
        share = (1 + math.sin(time.monotonic() / 12)) / 2
        texts = range(4 + int(20 * share))
        documents = [f"{name} {number // 3} {at} {TEXT[at * 7 % 70 :]}" for at in texts]
        if number % 10 == 0:
            documents.append("long " * 600)
        body = {"query": "What do pandas eat?", "documents": documents}
        path = ("/v2/rerank", "/jina/v1/rerank", "/voyage/v1/rerank")[number % 3]
        with contextlib.suppress(TimeoutError):  # a busy machine; the picture shows it
            server.post(path, b"no JSON" if number % 5 == 3 else body)
        if stop.wait(0.4 - 0.3 * share):
            return


@contextlib.contextmanager
def a_service(folder: Path) -> Iterator[Prometheus]:
    """Serve the built-in model to four callers."""
    stop = threading.Event()
    with serving(load(BUILTIN, uri="builtin"), ready=False, cache_bytes=2**20) as server:
        until(server.starting.done, WARM_S)
        server.service.metrics.follow_device_memory(lambda: (2**30, 2**31))  # none may be here
        threads = [threading.Thread(target=caller, args=(server, name, stop)) for name in range(4)]
        labels = {"namespace": "search", "service": "demo", "pod": "demo-0"}
        with scraping(folder, {server.port: labels}) as prometheus:
            for thread in threads:
                thread.start()
            try:
                yield prometheus
            finally:
                stop.set()
                for thread in threads:
                    thread.join()


@contextlib.contextmanager
def a_fleet(folder: Path) -> Iterator[Prometheus]:
    """Run an operator over some Rerankers, one of which downloads its model."""
    labels = {"namespace": "podium-system", "job": "podium-operator", "pod": "podium-operator-0"}
    job = {"namespace": "search", "reranker": "large", "pod": "large-dl-0"}
    files = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
    with control_plane() as plane, contextlib.ExitStack() as stack:
        grant(plane)
        operator = stack.enter_context(OperatorProcess(plane))
        hub = stack.enter_context(Hub(files, pause_s=SECONDS / 24))
        port = stack.enter_context(downloading(hub, folder / "fetched"))
        prometheus = stack.enter_context(scraping(folder, {operator.port: labels, port: job}))
        stop = threading.Event()
        life = threading.Thread(target=_life, args=(Space.make(plane, "search"), stop))
        life.start()
        try:
            yield prometheus
        finally:
            stop.set()
            life.join()


def _life(space: Space, stop: threading.Event) -> None:
    """Make Rerankers, let their pods answer, and scale one up and down."""
    space.rerank("large", model={"uri": "hf://org/large"}, gpu={}, autoscaling={"maxReplicas": 4})
    space.wait("persistentvolumeclaims", "large-cache")
    space.bind_claim("large-cache")
    for replicas in itertools.chain((1, 2, 3, 4), itertools.cycle((3, 2, 3, 4))):
        space.rerank("small", replicas=replicas)
        wait_for("its pods", lambda wanted=replicas: _pods_of(space, "small") == wanted)
        space.answer("small")
        if stop.wait(SECONDS / 8):
            return


def _pods_of(space: Space, name: str) -> int:
    return sum(pod["metadata"]["name"].startswith(f"{name}-") for pod in space.list("pods"))


DASHBOARDS = {"service": a_service, "fleet": a_fleet, "operator": a_fleet}


def main() -> None:
    """Draw those that are named, or all."""
    chosen = sys.argv[1:] or list(DASHBOARDS)
    PICTURES.mkdir(exist_ok=True)
    for scene in dict.fromkeys(DASHBOARDS[name] for name in chosen):
        with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as prometheus:
            start = time.time()
            time.sleep(SECONDS)
            for name in (name for name in chosen if DASHBOARDS[name] is scene):
                (PICTURES / f"{name}.svg").write_text(dashboard_svg(name, prometheus, start, start + SECONDS))


if __name__ == "__main__":
    main()

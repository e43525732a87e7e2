"""Real clients against a live `podium serve`: each returns the order, and the scores, of the bare model."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from clients.environments import HERE, CannotBuild, python_of

from podium.dialects.clients import CLIENTS, Client
from podium.models.load import load
from podium.ranking import sigmoid

PODIUM = Path(sys.executable).with_name("podium")
KEY = "nvapi-podium"
PATIENCE_S = 300
"""What a test waits at most; a set of clients takes some ten seconds on a machine that is not busy."""
QUERY = "How do vaccines protect people from disease?"
DOCUMENTS = [
    "A vaccine contains a harmless part of a germ, or instructions for making it; the body learns from it.",
    "Herd immunity protects those who cannot be vaccinated: where most are immune, no disease spreads.",
    "The World Health Organization declared smallpox eradicated in 1980, after a campaign of vaccination.",
    "Antibiotics kill bacteria or stop their growth; against viruses they do nothing.",
    "Common side effects of a vaccine are a sore arm, tiredness and a light fever for a day or two.",
    "Measles is one of the most contagious diseases; one patient infects twelve to eighteen others.",
    "Messenger RNA carries the plan of a protein from the nucleus to the ribosomes of a cell.",
    "Louis Pasteur vaccinated a boy who had been bitten by a rabid dog in 1885.",
    "Insulin lowers the sugar in the blood; people with type 1 diabetes inject it every day.",
    "The Great Wall of China was built over several dynasties and is more than 20,000 kilometres long.",
    "White blood cells find and destroy bacteria and viruses in the body.",
    "The influenza virus changes every year, and its vaccine has to be made anew.",
    "Side effects of aspirin include bleeding of the stomach.",
    "Mosquito nets protect children from malaria while they sleep.",
    "Vaccines must be kept cold on their way to the patient.",
    "Clinical trials compare those who got a vaccine with those who got a placebo.",
    "The immune system defends the body against infections and tumours.",
    "People with allergies should tell their doctor before a vaccination.",
    "Vitamins and sleep help the body to stay healthy.",
    "Masks hold back the droplets that carry a virus from one person to the next.",
]


class Expected(NamedTuple):
    """What the bare model says of the documents."""

    order: list[int]
    logits: list[float]


@pytest.fixture(scope="module")
def expected() -> Expected:
    model = load(Path(sys.modules["podium"].__path__[0]) / "builtin", uri="builtin")
    (query,) = model.queries([QUERY])
    logits = model.score([model.pair(query, document) for document in model.documents(DOCUMENTS)])
    order = np.argsort(-logits, kind="stable")
    assert np.min(-np.diff(logits[order])) > 0.05, (
        "documents so near to each other prove nothing of the order"
    )
    return Expected(order.tolist(), logits.tolist())


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the built-in model on a free port; without its cache, so that every request is ranked."""
    folder = tmp_path_factory.mktemp("serve")
    log = folder / "log"
    options = ["--host=127.0.0.1", "--port=0", "--cache-bytes=0", f"--api-keys={KEY}", "--log-format=json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [PODIUM, "serve", *options], cwd=folder, env=clean, stdout=file, stderr=file
        )
    try:
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_PROXY": "*",
}
"""What keeps clients from calling home; caller.py would refuse them the way."""


@pytest.fixture(scope="module")
def told(origin: str) -> "Told":
    return Told(origin)


class Told:
    """What the clients of each set returned, called all at once when the first of them is asked for."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._told: dict[str, dict[Client, Any] | Exception] = {}

    def by(self, client: Client) -> Any:
        """Return what a client returned; skips where its set cannot be installed."""
        name = client.environment
        if name not in self._told:
            try:
                self._told[name] = self._call(name, [each for each in CLIENTS if each.environment == name])
            except (CannotBuild, subprocess.SubprocessError) as error:
                self._told[name] = error
        told = self._told[name]
        if isinstance(told, CannotBuild):
            pytest.skip(f"tests/clients/{name}.txt cannot be installed here: {told}")
        if isinstance(told, Exception):
            raise told
        return told[client]

    def _call(self, name: str, clients: Sequence[Client]) -> dict[Client, Any]:
        ask = {
            "origin": self._origin,
            "key": KEY,
            "query": QUERY,
            "documents": DOCUMENTS,
            "calls": [[each.name, each.base] for each in clients],
        }
        ended = subprocess.run(
            [python_of(HERE / f"{name}.txt"), HERE / "caller.py", name],
            input=json.dumps(ask),
            env={"PATH": os.environ["PATH"], **QUIET},
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        return dict(zip(clients, json.loads(ended.stdout), strict=True))


@pytest.mark.parametrize("client", [pytest.param(each, id=f"{each.name} {each.base}") for each in CLIENTS])
def test_the_client_returns_the_order_and_the_scores_of_the_bare_model(
    client: Client, expected: Expected, told: Told
) -> None:
    answer = told.by(client)
    assert "error" not in answer, answer["error"]
    order = [index for index, _ in answer["ranking"]]
    assert len(order) == answer["asked"]
    assert order == expected.order[: len(order)]
    logits = np.array([expected.logits[index] for index in order])
    scores = logits if client.dialect == "nim" else sigmoid(logits)
    assert [score for _, score in answer["ranking"]] == pytest.approx(scores.tolist(), rel=0.02, abs=0.02)
    assert answer["dialects"] == [client.dialect]


MUTE = {
    "haystack mixedbread": "returns the documents as they are for a blank query",
    "pinecone": "refuses a blank query itself",
    "langchain-community InfinityRerank": "reads only rankings",
    "llama-index nvidia": "tells the status only",
    "llama-index tei": "reads only rankings",
    "together": "refuses a failure whose `code` is a number",
    **{one.name: "reads only rankings" for one in CLIENTS if one.name.startswith("rerankers ")},
}
"""Clients that show nobody what the server says of a failure, whichever server it is."""


def test_every_client_that_is_mute_is_listed() -> None:
    assert MUTE.keys() <= {client.name for client in CLIENTS}


@pytest.mark.parametrize(
    "client",
    [pytest.param(each, id=f"{each.name} {each.base}") for each in CLIENTS if each.name not in MUTE],
)
def test_the_client_raises_an_error_that_holds_the_sentence_of_the_server(client: Client, told: Told) -> None:
    assert "is blank; send the text to look for" in told.by(client)["refused"]

"""`podium size` says how many pods a load needs, from what the model does on this machine."""

import json
import time

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from podium.cli import capacity
from podium.cli.group import podium
from podium.cli.size import Measured, as_lines, measure, request, result
from podium.models.load import load
from podium.settings import Settings
from podium.weights.source import BUILTIN


@pytest.fixture(scope="module")
def model():
    return load(BUILTIN, uri="builtin", device="cpu", dtype="float32")


def run(*arguments: str):
    return CliRunner().invoke(podium, ["size", *arguments])


@pytest.mark.parametrize(
    ("rate", "request_s", "busy", "pods"),
    [
        pytest.param(1, 0.1, 0.7, 1, id="one-is-enough"),
        pytest.param(7, 1, 0.7, 10, id="just-enough"),
        pytest.param(7.1, 1, 0.7, 11, id="a-little-more"),
        pytest.param(0.001, 0.001, 0.7, 1, id="never-none"),
        pytest.param(100, 0.25, 0.5, 50, id="half-busy"),
    ],
)
def test_no_pod_is_busier_than_it_may_be(rate, request_s, busy, pods):
    assert capacity.pods(rate, request_s, busy) == pods


@pytest.mark.parametrize("load", [0.1, 0.5, 0.7, 0.8])
def test_latencies_are_those_of_a_queue_with_one_server(load):
    """The mean wait of M/D/1 is load ÷ (2 × (1 − load)) services, by Pollaczek and Khinchine."""
    found = capacity.latencies(rate=load * 4, request_s=0.25)
    assert found.mean() == pytest.approx(0.25 * (1 + load / (2 * (1 - load))), rel=0.03)
    assert found[0] == pytest.approx(0.25)
    assert (np.diff(found) >= 0).all()


def test_a_request_has_pairs_of_just_so_many_tokens(model):
    assert [each.tokens for each in request(model, 70, 100)] == [100] * 70
    assert [each.tokens for each in request(model, 1, 512)] == [512]


def test_time_is_measured_for_the_request_that_was_asked_for(model):
    start = time.perf_counter()
    measured = measure(model, Settings(), 3, 40, 0.2, Console(quiet=True))
    assert 0 < measured.request_s < time.perf_counter() - start
    assert measured.tokens == 40


def test_numbers_belong_together(model):
    found = result(model, Measured(0.5, 0.01, 100), rate=7, documents=20, busy=0.7)
    assert (found["pods"], found["busy_share"]) == (5, pytest.approx(0.7))
    assert (found["documents_per_s"], found["tokens_per_s"]) == (40, 4000)
    assert found["idle_s"] == pytest.approx(0.51)
    assert found["idle_s"] < found["p50_s"] < found["p95_s"]
    assert found["memory_bytes"] > capacity.SLACK_BYTES + model.info.weights_bytes
    assert [line.split()[0] for line in as_lines(found)] == ["measured", "pods", "memory", "latency"]
    assert "pods      5, each busy 70% of its time" in as_lines(found)


def test_json_is_one_object_and_pairs_are_at_most_as_long_as_the_model_reads():
    load = ("--rate", "2", "--documents", "2", "--tokens", "5000", "--seconds", "0.1")
    ended = run(*load, "--json", "--max-length", "64", "--device", "cpu")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["tokens_per_pair"] == 64
    assert "pairs are cut to 64 tokens, the model's length" in ended.stderr


def test_what_cannot_be_is_a_usage_error():
    ended = run("--rate", "1", "--documents", "2", "--tokens", "5", "--device", "cpu")
    assert ended.exit_code == 2
    assert "query and template alone take 16 tokens" in ended.stderr
    assert run("--rate", "0", "--documents", "2", "--tokens", "50").exit_code == 2

"""From settings to readiness, and the probes meanwhile."""

import gc
import json
import threading
from pathlib import Path

import msgspec
import pytest
from fakes import INFO, FakeModel
from serving import request, serving, until

from podium.batching import LEAST_TOKENS
from podium.errors import PermanentStartError, Reason, TemporaryStartError
from podium.loading import load_model
from podium.server import app
from podium.server.app import serve
from podium.server.startup import MEASURED_PAIRS
from podium.server.state import Service
from podium.settings import Settings

GOOD = {"query": "q", "documents": ["score=1", "score=2"]}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """A tiny BERT with random weights that ranks the known pair the wrong way round."""
    torch = pytest.importorskip("torch")
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from podium.loading import load_model
    from podium.models.readiness import self_test

    folder = tmp_path_factory.mktemp("untrained")
    builtin = Path(load_model.__code__.co_filename).parent / "builtin"
    tokenizer = AutoTokenizer.from_pretrained(builtin)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    for seed in range(20):
        torch.manual_seed(seed)
        BertForSequenceClassification(config).save_pretrained(folder)
        if self_test(load_model(Settings(model=str(folder)))):
            return folder
    raise AssertionError("chance ranked it right 20 times")


def test_a_model_that_ranks_a_known_pair_wrong_refuses_to_start(untrained):
    with pytest.raises(PermanentStartError, match="untrained, damaged, or not a reranker") as refused:
        serve(Settings(model=str(untrained), host="127.0.0.1", port=0))
    assert (refused.value.reason, refused.value.exit_code) == (Reason.SELF_TEST_FAILED, 42)


@pytest.mark.parametrize("self_test", ["warn", "off"])
def test_an_untrained_model_is_served_when_that_is_wanted(untrained, self_test, caplog):
    settings = {"model": str(untrained), "self_test": self_test}
    with serving(lambda: load_model(Settings(**settings)), **settings) as server:
        assert server.get("/readyz").status == 200
        assert server.post("/v1/rerank", GOOD).status == 200
    warned = any("PODIUM_SELF_TEST=off serves it anyway" in record.getMessage() for record in caplog.records)
    assert warned == (self_test == "warn")


class Broken(FakeModel):
    def score(self, encodings):
        raise RuntimeError("no kernel for this device")


def test_a_model_that_fails_on_its_first_batch_refuses_to_start():
    with (
        pytest.raises(
            PermanentStartError, match="fails on its first batch: RuntimeError: no kernel for this device"
        ) as refused,
        serving(Broken()),
    ):
        pass
    assert refused.value.reason == Reason.MODEL_LOAD_FAILED


def test_a_machine_at_fault_during_the_first_batch_is_no_fault_of_the_model():
    class Lost(FakeModel):
        def score(self, encodings):
            raise TemporaryStartError(Reason.MODEL_LOAD_FAILED, "the machine is too busy")

    with pytest.raises(TemporaryStartError, match="too busy"), serving(Lost()):
        pass


def test_a_model_too_slow_to_be_measured_is_served():
    model = FakeModel()
    model.seconds_per_token = 1e-3  # half a second for the pairs that measure it
    with serving(model, request_timeout_s=0.2) as server:
        until(lambda: server.post("/v1/rerank", GOOD).status == 200)


@pytest.mark.parametrize(
    ("seconds_per_token", "pairs"), [(0.0, sum(MEASURED_PAIRS)), (0.01, MEASURED_PAIRS[0])]
)
def test_a_slow_model_is_measured_with_few_pairs(seconds_per_token, pairs):
    model = FakeModel()
    model.seconds_per_token = seconds_per_token
    with serving(model) as server:
        assert server.metric("podium_pairs_total") == pairs


def test_a_slow_model_on_a_cpu_has_batches_that_are_worth_reading_its_weights():
    model = FakeModel()
    model.seconds_per_token = 0.002  # 125 tokens in the 250 ms of a batch
    with serving(model) as server:
        assert server.metric("podium_batch_limit_tokens") == LEAST_TOKENS


def test_probes_and_callers_are_told_that_the_model_loads():
    may_load = threading.Event()

    def load() -> FakeModel:
        may_load.wait(20)
        return FakeModel()

    with serving(load, ready=False) as server:
        assert server.get("/livez").status == 200
        for path in ("/readyz", "/health"):
            answer = server.get(path)
            assert (answer.status, answer.body["status"]) == (503, "loading")
        assert server.get("/").body["status"] == "loading"
        assert server.get("/metrics").status == server.get("/v1/models").status == 200
        assert server.get("/info").status == 503
        for path, body in (("/v2/rerank", GOOD), ("/rerank", {"query": "q", "texts": ["d"]})):
            answer = server.post(path, body)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert "the model is loading" in json.dumps(answer.body)
        assert server.post("/v2/rerank", b"nonsense").status == 400
        assert server.metric("podium_model_info") is None
        may_load.set()
        until(lambda: server.get("/readyz").status == 200)
        assert server.post("/v2/rerank", GOOD).status == 200


def test_readiness_waits_for_the_warm_up():
    gate = threading.Semaphore(0)
    with serving(FakeModel(gate=gate), ready=False) as server:
        for _ in range(4):  # the warm-up, and what measures the speed
            assert server.get("/readyz").status == 503
            gate.release()
        for _ in range(10):
            gate.release()
        until(lambda: server.get("/readyz").status == 200)
        for _ in range(10):
            gate.release()


def test_a_ready_server_tells_of_its_model():
    info = msgspec.structs.replace(
        INFO,
        revision="a" * 40,
        max_length=64,
        max_length_from="tokenizer_config.json: model_max_length",
        family="qwen3-reranker",
        scoring="last token: row 1 of the vocabulary minus row 0",
        instruction="judge",
        instruction_use="slot",
        notes=("the vision tower is not loaded: text only",),
        dtype_from="auto: this processor does not multiply bfloat16",
        instruction_set="AVX2",
        faster="PODIUM_DTYPE=int8 is about 1.6 to 1.8 times as fast",
    )
    with serving(FakeModel(info), model="org/model", revision="a" * 40, max_documents=77) as server:
        assert server.get("/health").body == {"status": "ok", "model": "org/model", "device": "cpu"}
        assert server.get("/readyz").body == {"status": "ready"}
        told = server.get("/info").body
        assert told["model_id"] == "fake"
        assert (told["model_sha"], told["max_client_batch_size"], told["max_input_length"]) == (
            "a" * 40,
            77,
            64,
        )
        assert set(told["model_type"]) == {"reranker"}
        assert told["max_input_length_from"] == "tokenizer_config.json: model_max_length"
        assert (told["family"], told["instruction"]) == ("qwen3-reranker", "judge")
        assert told["scoring"] == "last token: row 1 of the vocabulary minus row 0"
        assert told["instruction_use"] == "slot"
        assert told["notes"] == ["the vision tower is not loaded: text only"]
        assert told["model_dtype_from"] == "auto: this processor does not multiply bfloat16"
        assert (told["instruction_set"], told["threads"]) == ("AVX2", 1)
        assert told["faster"] == "PODIUM_DTYPE=int8 is about 1.6 to 1.8 times as fast"
        assert server.metric("podium_threads") == 1
        (card,) = server.get("/v1/models").body["data"]
        assert (card["id"], card["object"]) == ("org/model", "model")
        assert server.get("/models").body["object"] == "list"
        assert server.get("/").body["service"] == "podium"
        labels = {"model": "org/model", "revision": "a" * 40, "device": "cpu", "dtype": "float32"}
        assert server.metric("podium_model_info", **labels) == 1


def test_a_stuck_device_is_told_by_the_probes_and_to_callers():
    model = FakeModel()
    with serving(model, stall_timeout_s=0.2) as server, server.client() as stuck:
        stuck.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
        until(lambda: server.get("/livez").status == 503)
        assert "busy with one batch" in server.get("/livez").body["status"]
        assert server.get("/readyz").status == server.get("/health").status == 503
        answer = server.post("/v2/rerank", GOOD)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        model.unblock()
        until(lambda: server.get("/livez").status == 200)
        assert server.post("/v2/rerank", GOOD).status == 200


async def test_what_was_loaded_is_left_out_of_later_collections(monkeypatch):
    """With it a full collection takes most of a second, and no thread goes on meanwhile."""

    async def started(*_: object) -> None:
        return None

    monkeypatch.setattr(app, "start", started)
    try:
        await app._start(Service(Settings()))
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()

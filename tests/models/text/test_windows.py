"""Windows of a long document in a prompt, through the whole data path."""

import asyncio

import numpy as np
import pytest
from models.text import backends

from podium.models.base import ModelInfo
from podium.models.families import mxbai_v2, qwen3_reranker
from podium.models.recipe import Recipe
from podium.models.text.tokenizer import make
from podium.ranking import RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics

LIMIT = 256
SENTENCE = "The panda, is it a bear? Yes!\nIt lives in China, where bamboo grows. "


class Recorded:
    """A decoder's tokenizer, and every encoding that it was asked to score; later ones score more."""

    pads, shares = False, True

    def __init__(self, template) -> None:
        recipe = Recipe(
            family="x",
            recognised_by="x",
            template=template,
            attention="causal",
            instruction="Find the answer",
            instruction_use="slot",
        )
        self.backend = backends.qwen3()
        text = make(backends.qwen3(), recipe, LIMIT, segments=False)
        self.queries, self.documents, self.pair = text.queries, text.documents, text.pair
        self.info = ModelInfo(
            uri="x",
            revision=None,
            architecture="x",
            device="cpu",
            dtype="float32",
            forward="packed",
            max_length=LIMIT,
            special_tokens=text.special_tokens,
            longest_first=False,
            instruction_use="slot",
            label="x",
        )
        self.encodings = []

    def computed(self, encodings):
        prefixes = {encoding.prefix: encoding.shared for encoding in encodings}
        return sum(len(each.ids) - each.shared for each in encodings) + sum(prefixes.values())

    def score(self, encodings):
        self.encodings += encodings
        return np.arange(len(encodings), dtype=np.float32)


@pytest.mark.parametrize("template", [qwen3_reranker.TEMPLATE, mxbai_v2.TEMPLATE], ids=["qwen3", "mxbai"])
def test_windows_of_a_prompt_hold_all_of_a_document_behind_one_prefix(template):
    model, document = Recorded(template), SENTENCE * 60

    async def rank():
        metrics = Metrics()
        reranker = Reranker(model, metrics=metrics, max_batch_tokens=100_000, tokens_per_s=1e6)
        try:
            request = RankRequest(
                queries=["what is a panda"],
                documents=[document],
                overflow="chunk",
                spans=True,
                truncate=False,
                instruction="Say whether it is about pandas",
            )
            return await reranker.rank(request), metrics.registry.get_sample_value("podium_tokens_total")
        finally:
            reranker.close()

    ranking, computed = asyncio.run(rank())
    lengths = [len(encoding.ids) for encoding in model.encodings]
    assert len(lengths) > 5
    assert max(lengths) <= LIMIT
    assert not any(encoding.cut for encoding in model.encodings)
    assert ranking.usage.tokens == sum(lengths)
    assert len({(encoding.shared, encoding.prefix) for encoding in model.encodings}) == 1
    shared = model.encodings[0].shared
    assert computed == sum(lengths) - (len(lengths) - 1) * shared
    assert "about pandas" in model.backend.decode(model.encodings[0].ids[:shared].tolist())
    (spans,) = ranking.spans
    read = {place for start, end, _ in spans for place in range(start, end)}
    assert read >= set(range(len(document.rstrip())))
    texts = {model.backend.decode(encoding.ids[shared:].tolist()) for encoding in model.encodings}
    for start, end, _ in spans:
        assert any(document[start:end].strip() in text for text in texts)

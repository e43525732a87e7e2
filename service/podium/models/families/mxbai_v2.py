"""mxbai-rerank v2: `1` against `0`; as causal model, and converted with one label or with two.

Source: mixedbread-ai/mxbai-rerank, mxbai_rerank_v2.py; vLLM's mxbai_rerank_v2.jinja has the same text.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Hole, Recipe, Written

_NAMES = tuple(f"mixedbread-ai/mxbai-rerank-{size}-v2" for size in ("base", "large"))
_CONVERTED = tuple(f"michaelfeil/mxbai-rerank-{size}-v2-seq" for size in ("base", "large"))
_TOKENS, _HIDDEN = 151_936, (896, 1_536)
"""Shapes of both sizes; labels alone are those of many classifiers."""

TEMPLATE = Written(
    parts=(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n",
        Hole("instruction", before="instruction: ", after="\n"),
        "query: ",
        Hole("query"),
        "\ndocument: ",
        Hole("document"),
        "\nYou are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your "
        "binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n"
        "<|im_start|>assistant\n",
    )
)


def _recognised(folder: Folder, name: str) -> str | None:
    if folder.architecture == "Qwen2ForCausalLM" and name in _NAMES:
        return f"the name {name}"
    if folder.architecture != "Qwen2ForSequenceClassification":
        return None
    if name in _CONVERTED:
        return f"the name {name}"
    config = folder.config
    if config.get("vocab_size") != _TOKENS or config.get("hidden_size") not in _HIDDEN:
        return None
    if facts.labels(folder) == ("0", "1"):
        return f"Qwen2ForSequenceClassification with the labels 0 and 1 and {_TOKENS} tokens"
    return None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    said = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        template=TEMPLATE,
        attention="causal",
        state="last",
        head=facts.answer(folder, true="1", false="0", model="an mxbai-rerank v2"),
        network="base",
        config=facts.overrides(folder),
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
        instruction_use="slot",
    )


FAMILY = Family(
    name="mxbai-rerank-v2",
    models="mxbai-rerank-base-v2, mxbai-rerank-large-v2, and converted to one label or two (0, 1)",
    evidence="the name, for it is a plain `Qwen2ForCausalLM`; converted: `Qwen2ForSequenceClassification` "
    f"with the labels 0 and 1, {_TOKENS} tokens and the hidden size "
    f"{' or '.join(map(str, _HIDDEN))}",
    scored="its prompt with instruction, query, document; `1` against `0` at the last token",
    recognised=_recognised,
    recipe=_recipe,
)

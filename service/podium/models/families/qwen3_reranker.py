"""Qwen3-Reranker 0.6B, 4B and 8B: yes against no; as causal model, and converted with one label or with two.

Source: QwenLM/Qwen3-Embedding, README, "Qwen3 Reranker Model Usage".
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Hole, Recipe, Written

_NAMES = tuple(f"Qwen/Qwen3-Reranker-{size}" for size in ("0.6B", "4B", "8B"))
_TOKENS, _POSITIONS = 151_669, 40_960
"""Qwen3's language models have 151,936 rows, its embedding models other positions or 151,665 rows."""

TEMPLATE = Written(
    parts=(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: ",
        Hole("instruction"),
        "\n<Query>: ",
        Hole("query"),
        "\n<Document>: ",
        Hole("document"),
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    )
)


def _recognised(folder: Folder, name: str) -> str | None:
    config = folder.config
    if config.get("model_type") != "qwen3":
        return None
    if folder.architecture not in ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification"):
        return None
    if name in _NAMES:
        return f"the name {name}"
    if (config.get("vocab_size"), config.get("max_position_embeddings")) == (_TOKENS, _POSITIONS):
        return f"{folder.architecture} with {_TOKENS} tokens and {_POSITIONS} positions"
    return None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    said = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        template=TEMPLATE,
        attention="causal",
        state="last",
        head=facts.answer(folder, true="yes", false="no", model="a Qwen3-Reranker"),
        network="base",
        config=facts.overrides(folder),
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
        instruction="Given a web search query, retrieve relevant passages that answer the query",
        instruction_use="slot",
    )


FAMILY = Family(
    name="qwen3-reranker",
    models="Qwen3-Reranker 0.6B, 4B, 8B: the original, and converted to one label or two (no, yes)",
    evidence=f"`Qwen3ForCausalLM` or `Qwen3ForSequenceClassification` with {_TOKENS} tokens and {_POSITIONS} "
    "positions, or the name",
    scored="its prompt with instruction, query, document; `yes` against `no` at the last token",
    recognised=_recognised,
    recipe=_recipe,
)

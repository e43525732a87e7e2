"""ctxl-rerank-v2-instruct-multilingual 1B, 2B and 6B: the document first, the logit of the vocabulary's
first token.

Source: the model cards, `format_prompts` and `infer_w_hf`. The vendor rounds the logit to bfloat16; Podium
does not.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Hole, Recipe, Rows, Written

_NAMES = tuple(f"ContextualAI/ctxl-rerank-v2-instruct-multilingual-{size}" for size in ("1b", "2b", "6b"))
_CLASSES = ("Qwen3ForCausalLM", "Qwen2ForCausalLM", "MistralForCausalLM", "LlamaForCausalLM")

TEMPLATE = Written(
    parts=(
        "Check whether a given document contains information helpful to answer the query.\n<Document> ",
        Hole("document"),
        "\n<Query> ",
        Hole("query"),
        Hole("instruction", before=" "),
        " ??",
    ),
    bos=True,
)


def _recognised(folder: Folder, name: str) -> str | None:
    return f"the name {name}" if folder.architecture in _CLASSES and name in _NAMES else None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    said = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        template=TEMPLATE,
        attention="causal",
        state="last",
        head=Rows(source="vocabulary", true=0),
        network="base",
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
        instruction_use="slot",
    )


FAMILY = Family(
    name="ctxl-rerank-v2",
    models="ctxl-rerank-v2-instruct-multilingual 1B, 2B, 6B",
    evidence="the name, for they are plain causal language models",
    scored="the document first, then query and instruction; the logit of the vocabulary's first token",
    recognised=_recognised,
    recipe=_recipe,
)

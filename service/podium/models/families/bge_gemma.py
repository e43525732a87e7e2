"""bge-reranker-v2-gemma: the logit of `Yes`, over a prompt that its vendor tokenizes in pieces.

Source: FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Hole, Recipe, Rows, Written

_NAME = "BAAI/bge-reranker-v2-gemma"

TEMPLATE = Written(
    parts=(
        Hole("query", before="A: "),
        "\n",
        Hole("document", before="B: "),
        "\n",
        Hole("instruction"),
    ),
    bos=True,
    apart=True,
)


def _recognised(folder: Folder, name: str) -> str | None:
    return f"the name {name}" if folder.architecture == "GemmaForCausalLM" and name == _NAME else None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    said = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        template=TEMPLATE,
        attention="causal",
        state="last",
        head=Rows(source="vocabulary", true=facts.token(folder, "Yes")),
        network="base",
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
        instruction="Given a query A and a passage B, determine whether the passage contains an answer to "
        "the query by providing a prediction of either 'Yes' or 'No'.",
        instruction_use="slot",
    )


FAMILY = Family(
    name="bge-reranker-v2-gemma",
    models="bge-reranker-v2-gemma",
    evidence="the name, for it is a plain `GemmaForCausalLM`",
    scored="its prompt in pieces, the instruction last; the logit of `Yes` at the last token",
    recognised=_recognised,
    recipe=_recipe,
)

"""zerank-1, zerank-1-small, zerank-2: the query as system message, the document as the user's, the logit of
`Yes` divided by 5.

Source: zeroentropy/zerank-2, modeling_zeranker.py. The hub knows each with `-reranker` and without.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Hole, Recipe, Rows, Written

_NAMES = tuple(
    f"zeroentropy/zerank-{size}{end}" for size in ("1", "1-small", "2") for end in ("", "-reranker")
)

TEMPLATE = Written(
    parts=(
        "<|im_start|>system\n",
        Hole("query", strip=True),
        "<|im_end|>\n<|im_start|>user\n",
        Hole("document", strip=True),
        "<|im_end|>\n<|im_start|>assistant\n",
    )
)


def _recognised(folder: Folder, name: str) -> str | None:
    return f"the name {name}" if folder.architecture == "Qwen3ForCausalLM" and name in _NAMES else None


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
        temperature=5.0,
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
    )


FAMILY = Family(
    name="zerank",
    models="zerank-1, zerank-1-small, zerank-2",
    evidence="the name, for it is a plain `Qwen3ForCausalLM`",
    scored="the query as system message, the document as the user's; the logit of `Yes`, divided by 5",
    recognised=_recognised,
    recipe=_recipe,
)

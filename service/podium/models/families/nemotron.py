"""llama-nemotron-rerank-1b-v2, and the text path of llama-nemotron-rerank-vl-1b-v2: a bidirectional Llama
whose mean counts the leading token, and a float32 row.

Source: the checkpoints' own modeling files; NVIDIA-NeMo/Automodel, cross_encoder/llama3_2_1b.yaml; vLLM's
nemotron-rerank.jinja.
"""

from typing import Any, Literal

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder, refused
from podium.models.recipe import Hole, Recipe, Rows, Written

_TEXT = "LlamaBidirectionalForSequenceClassification"
_VISION = "LlamaNemotronVLForSequenceClassification"

TEMPLATE = Written(
    parts=("question:", Hole("query"), " \n \n passage:", Hole("document")),
    bos=True,
)


def _recognised(folder: Folder, name: str) -> str | None:
    return folder.architecture if folder.architecture in (_TEXT, _VISION) else None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    facts.one_label(folder)
    vision = folder.architecture == _VISION
    if folder.config.get("is_causal") or (vision and _language_model(folder).get("is_causal")):
        raise refused(
            f"`{folder.path / 'config.json'}` has `is_causal` true, and the class {folder.architecture} "
            "attends in both directions; take it out where the model was trained so"
        )
    said = facts.length(folder)
    config = {**(_language_model(folder) if vision else {}), **facts.overrides(folder), "is_causal": False}
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        template=TEMPLATE,
        attention="bidirectional",
        state=_pooled(folder),
        head=Rows(source="score", true=0),
        network="base",
        architecture="llama",
        config=config,
        renamed={"model.language_model.": ""} if vision else {},
        temperature=_temperature(folder),
        length=said.tokens,
        length_from=said.said_by,
        segments=False,
        notes=("the vision tower is not loaded: text only",) if vision else (),
    )


def _language_model(folder: Folder) -> dict[str, Any]:
    said = folder.config.get("llm_config")
    if not isinstance(said, dict):
        raise refused(
            f"`{folder.path / 'config.json'}` has no `llm_config`, the config of its language model"
        )
    return {
        key: value for key, value in said.items() if key not in ("model_type", "architectures", "auto_map")
    }


def _pooled(folder: Folder) -> Literal["first", "mean", "last"]:
    said = folder.config.get("pooling", "avg")
    states: dict[Any, Literal["first", "mean", "last"]] = {"avg": "mean", "cls": "first", "last": "last"}
    if said not in states:
        raise refused(
            f"`{folder.path / 'config.json'}` has `pooling` {said!r}; Podium knows {', '.join(states)}"
        )
    return states[said]


def _temperature(folder: Folder) -> float:
    said = folder.config.get("temperature", 1.0)
    if not isinstance(said, int | float) or isinstance(said, bool) or not said > 0:
        raise refused(f"`{folder.path / 'config.json'}` has `temperature` {said!r}; it is a number above 0")
    return float(said)


FAMILY = Family(
    name="llama-nemotron-rerank",
    models="llama-nemotron-rerank-1b-v2, and the text path of llama-nemotron-rerank-vl-1b-v2",
    evidence=f"`{_TEXT}` or `{_VISION}`",
    scored="its prompt; bidirectional, the mean of all tokens, the row `score`, divided by `temperature`",
    recognised=_recognised,
    recipe=_recipe,
    own_class=True,
)

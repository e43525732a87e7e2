"""gte-multilingual-reranker-base: Alibaba's `new` architecture, read by transformers' own `gte`.

Source: Alibaba-NLP/new-impl, modeling.py (NTKScalingRotaryEmbedding) and configuration.py.
"""

from typing import Any

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder, refused
from podium.models.recipe import Recipe

_FIXED = {
    "position_embedding_type": ("rope",),
    "layer_norm_type": ("layer_norm",),
    "pack_qkv": (True,),
    "logn_attention_scale": (False,),
}
"""What transformers' `gte` takes for granted, with the values that it has there."""


def _recognised(folder: Folder, name: str) -> str | None:
    if folder.config.get("model_type") == "new" and folder.architecture == "NewForSequenceClassification":
        return "NewForSequenceClassification"
    return None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    facts.one_label(folder)
    for key, taken in _FIXED.items():
        if (said := folder.config.get(key, taken[0])) not in taken:
            raise refused(
                f"`{folder.path / 'config.json'}` has `{key}` {said!r}; transformers' `gte`, which reads "
                f"this model, has {taken[0]!r}"
            )
    said_length = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        architecture="gte",
        config={**facts.overrides(folder), "rope_parameters": _rope(folder), "rope_scaling": None},
        length=said_length.tokens,
        length_from=said_length.said_by,
        truncation_side=facts.truncation_side(folder),
        segments=facts.segments(folder),
        activation=facts.activation(folder, modular=False),
    )


def _rope(folder: Folder) -> dict[str, Any]:
    """Return rotary positions for `gte`: the vendor's NTK scaling is linear scaling of another base."""
    config = folder.config
    theta = float(config.get("rope_theta", 10_000.0))
    scaling = config.get("rope_scaling")
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    said = scaling if isinstance(scaling, dict) else {}
    kind, factor = said.get("type", said.get("rope_type")), said.get("factor")
    if kind != "ntk" or not isinstance(factor, int | float) or said.get("mixed_b") is not None:
        raise refused(
            f"`{folder.path / 'config.json'}` has `rope_scaling` {scaling}; Podium knows the type ntk with a "
            "factor"
        )
    head = config["hidden_size"] / config["num_attention_heads"]
    return {"rope_type": "linear", "rope_theta": theta * factor, "factor": float(factor) ** (2 / head)}


FAMILY = Family(
    name="gte-multilingual",
    models="gte-multilingual-reranker-base and fine-tunes of it",
    evidence="`NewForSequenceClassification`, model type `new`",
    scored="the tokenizer's pair; the checkpoint's own head",
    recognised=_recognised,
    recipe=_recipe,
    own_class=True,
)

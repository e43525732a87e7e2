"""jina-reranker-v2-base-multilingual: XLM-RoBERTa under other names of tensors.

Source: jinaai/xlm-roberta-flash-implementation, convert_roberta_weights_to_flash.py, read backwards.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder
from podium.models.recipe import Recipe

_TENSOR = "roberta.encoder.layers.0.mixer.Wqkv.weight"


def _recognised(folder: Folder, name: str) -> str | None:
    if folder.architecture != "XLMRobertaForSequenceClassification":
        return None
    if _TENSOR in folder.tensors:
        return f"XLMRobertaForSequenceClassification with the tensor {_TENSOR}"
    if "use_flash_attn" in folder.config and "auto_map" in folder.config and not folder.tensors:
        return "XLMRobertaForSequenceClassification with use_flash_attn and auto_map"
    return None


def _recipe(folder: Folder, evidence: str) -> Recipe:
    facts.one_label(folder)
    said = facts.length(folder)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        architecture="xlm-roberta",
        config=facts.overrides(folder),
        renamed={
            "roberta.encoder.layers.": "roberta.encoder.layer.",
            "roberta.emb_ln.": "roberta.embeddings.LayerNorm.",
        },
        replaced={
            ".mixer.Wqkv.": tuple(f".attention.self.{part}." for part in ("query", "key", "value")),
            ".mixer.out_proj.": (".attention.output.dense.",),
            ".norm1.": (".attention.output.LayerNorm.",),
            ".mlp.fc1.": (".intermediate.dense.",),
            ".mlp.fc2.": (".output.dense.",),
            ".norm2.": (".output.LayerNorm.",),
        },
        length=said.tokens,
        length_from=said.said_by,
        truncation_side=facts.truncation_side(folder),
        segments=facts.segments(folder),
        activation=facts.activation(folder, modular=False),
    )


FAMILY = Family(
    name="jina-reranker-v2",
    models="jina-reranker-v2-base-multilingual",
    evidence="`XLMRobertaForSequenceClassification` whose tensors are called `mixer.Wqkv`",
    scored="the tokenizer's pair; the checkpoint's own head",
    recognised=_recognised,
    recipe=_recipe,
    own_class=True,
)

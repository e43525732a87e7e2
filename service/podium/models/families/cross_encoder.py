"""The plain cross-encoder: a sequence classification model of transformers with one label, over a
tokenizer's pair.

Encoders read `[CLS] query [SEP] document [SEP]`; decoders whatever their tokenizer makes of a pair.
"""

from podium.models import facts
from podium.models.families.family import Family
from podium.models.folder import Folder, refused
from podium.models.recipe import Own, Recipe, Rows


def _recognised(folder: Folder, name: str) -> str | None:
    return None if facts.causal(folder) else f"{folder.architecture or 'a config without a class'}, one label"


def _recipe(folder: Folder, evidence: str) -> Recipe:
    if facts.causal(folder):
        raise refused(
            f"`{folder.path / 'config.json'}` names {folder.architecture}, a language model without a "
            "classification head; set PODIUM_FAMILY to a family of language models"
        )
    facts.one_label(folder)
    said = facts.length(folder)
    decoder = facts.decoder(folder.config)
    return Recipe(
        family=FAMILY.name,
        recognised_by=evidence,
        attention=facts.attention(folder),
        state=facts.state(folder),
        by_class=facts.by_class(folder),
        head=Rows(source="score", true=0) if decoder else Own(),
        network="base" if decoder else "classifier",
        config=facts.overrides(folder),
        length=said.tokens,
        length_from=said.said_by,
        truncation_side=facts.truncation_side(folder),
        segments=facts.segments(folder),
        activation=facts.activation(folder, modular=False),
    )


FAMILY = Family(
    name="cross-encoder",
    models="every sequence classification model of transformers with one label: bge-reranker base, large and "
    "v2-m3, MiniLM, ELECTRA, mxbai-rerank v1 and others of DeBERTa v2 and v3, granite and gte ModernBERT, "
    "one-label fine-tunes of Qwen, Llama, Mistral, Gemma",
    evidence="a class `…ForSequenceClassification` with one label, and nothing above",
    scored="the tokenizer's pair; the checkpoint's own head, of a decoder at the last token that is no "
    "padding",
    recognised=_recognised,
    recipe=_recipe,
)

"""From a folder to its recipe: by the setting, the modular layout, or the table of families."""

import msgspec

from podium.errors import PermanentStartError
from podium.models import facts, modular
from podium.models.families import (
    bge_gemma,
    cross_encoder,
    ctxl_v2,
    gte_new,
    jina_v2,
    mxbai_v2,
    nemotron,
    qwen3_reranker,
    zerank,
)
from podium.models.folder import MODULES, Folder, refused
from podium.models.recipe import Recipe, Rows, Stack

FAMILIES = (
    qwen3_reranker.FAMILY,
    mxbai_v2.FAMILY,
    bge_gemma.FAMILY,
    nemotron.FAMILY,
    zerank.FAMILY,
    ctxl_v2.FAMILY,
    gte_new.FAMILY,
    jina_v2.FAMILY,
    cross_encoder.FAMILY,
)
"""In the order in which they are tried."""

NAMES = (modular.NAME, *(family.name for family in FAMILIES))
"""What the setting `family` takes beside `auto`."""

NATIVE = frozenset({"eurobert", "gte", "modernbert", "nomic_bert"})
"""Model types whose folders may still bring the code from before transformers had theirs."""

LISTWISE = ("JinaForRanking",)
"""Classes whose score of a document depends on the other documents."""

UNSUPPORTED = ("LayerWiseMiniCPMForCausalLM", "CostWiseGemmaForCausalLM", "T5ForConditionalGeneration")
"""Classes of rerankers that no family here scores: bge-reranker-v2-minicpm-layerwise,
bge-reranker-v2.5-gemma2-lightweight, monoT5."""


def recipe_of(
    folder: Folder, family: str = "auto", uri: str = "", *, trust_remote_code: bool = False
) -> Recipe:
    """Return how the model in a folder scores.

    `family` is `auto` or one of NAMES; `uri` is the model as the user named it: where it is a hub's
    `owner/name` it is evidence for families whose folders have no other. Raises PermanentStartError with the
    reason where the folder cannot be scored as its reference does.
    """
    _refuse_what_no_family_scores(folder)
    name = uri.removeprefix("hf://")
    if family == modular.NAME:
        return _scaled(modular.recipe(folder, "the setting family"), folder)
    for row in FAMILIES:
        if row.name == family:
            return _scaled(row.recipe(folder, "the setting family"), folder)
    if family != "auto":
        raise refused(f"there is no family `{family}`; PODIUM_FAMILY takes auto, {', '.join(NAMES)}")
    if (own := _own_class(folder, name)) is not None:
        return _with_notes(own, folder)
    if (found := modular.recognised(folder)) is not None:
        recipe = _scaled(modular.recipe(folder, found), folder)
        if not trust_remote_code:
            _refuse_own_code(folder, _loaded_by(recipe))
        return _with_notes(recipe, folder)
    for row in FAMILIES:
        if (evidence := row.recognised(folder, name)) is not None:
            if row is cross_encoder.FAMILY and not trust_remote_code:
                _refuse_own_code(folder, "AutoModelForSequenceClassification")
            return _with_notes(_scaled(row.recipe(folder, evidence), folder), folder)
    raise _unknown(folder)


def _scaled(recipe: Recipe, folder: Folder) -> Recipe:
    """Divide the logits of tokens by what the language model's own class divides them by.

    Raises PermanentStartError where that class makes more of them than a product.
    """
    if not (isinstance(recipe.head, Rows) and recipe.head.source == "vocabulary"):
        return recipe
    return msgspec.structs.replace(recipe, temperature=recipe.temperature * facts.logits_scaling(folder))


def _own_class(folder: Folder, name: str) -> Recipe | None:
    """Return the recipe of a class of a family's own; None where there is none, or modules say another one.

    Of modules a lone Transformer is read by it where its pairs are the family's: what its files say of
    length, instruction and activation counts.
    """
    recognised = ((row, row.recognised(folder, name)) for row in FAMILIES if row.own_class)
    row, evidence = next(((row, said) for row, said in recognised if said is not None), (None, ""))
    if row is None:
        return None
    if not modular.uses_modules(folder):
        return row.recipe(folder, evidence)
    if len(folder.json[MODULES]) > 1:
        return None
    recipe, said = row.recipe(folder, evidence), modular.recipe(folder, evidence)
    if recipe.template != said.template:
        return None
    return msgspec.structs.replace(
        recipe,
        recognised_by=f"{evidence}, in {MODULES}",
        in_modules=True,
        length=said.length,
        length_from=said.length_from,
        lower_case=said.lower_case,
        instruction=said.instruction,
        instruction_use=said.instruction_use,
        activation=said.activation,
    )


def _with_notes(recipe: Recipe, folder: Folder) -> Recipe:
    """Add what the user ought to know of files that are left aside."""
    notes = list(recipe.notes)
    if MODULES in folder.json and not modular.uses_modules(folder):
        notes.append(
            "modules.json is left aside, as Sentence Transformers does: config_sentence_transformers.json "
            "does not say model_type CrossEncoder"
        )
    if folder.chat_template is not None and recipe.family == cross_encoder.FAMILY.name:
        notes.append(
            f"the chat template of {folder.chat_template_from} is left aside: it has no query and document"
        )
    if folder.config.get("use_bidirectional_attention") and recipe.attention == "causal":
        notes.append(
            "use_bidirectional_attention of config.json is left aside, as transformers does: a token attends "
            "those before it"
        )
    return msgspec.structs.replace(recipe, notes=tuple(notes))


def _refuse_what_no_family_scores(folder: Folder) -> None:
    config = folder.config
    if folder.architecture in LISTWISE:
        raise refused(
            f"`{folder.path}` is a listwise reranker ({folder.architecture}): a document's score would "
            "depend on the other documents of the request, and Podium scores each pair by itself"
        )
    if folder.architecture in UNSUPPORTED:
        raise refused(
            f"`{folder.path}` holds a reranker of a kind that Podium does not score ({folder.architecture}); "
            "docs/models.md lists those that it does"
        )
    sparse = config.get("attention_type", "block_sparse") == "block_sparse"
    if config.get("model_type") in ("big_bird", "bigbird_pegasus") and sparse:
        raise refused(
            f"`{folder.path / 'config.json'}` has `attention_type` `block_sparse`, which transformers turns "
            "into full attention for good with the first short pair: a score would depend on the pairs "
            "before it; say `original_full` for full attention always"
        )
    hashed = config.get("model_type") == "yoso" and config.get("use_expectation") is False
    if config.get("model_type") == "reformer" or hashed:
        raise refused(
            f"`{folder.path / 'config.json'}` has the model type `{config['model_type']}`, whose attention "
            "hashes tokens at random or in chunks of a whole batch: a pair has no score of its own"
        )
    if "adapter_config.json" in folder.json:
        raise refused(
            f"`{folder.path}` holds an adapter (adapter_config.json); merge it into its base model "
            "(`merge_and_unload` of peft) and give the merged folder"
        )
    if config.get("model_type") == "mistral" and "layer_types" in config:
        raise refused(
            f"`{folder.path / 'config.json'}` has the model type `mistral` with `layer_types`, which "
            "transformers reads as `ministral`; say so in `model_type`, or take `layer_types` out"
        )
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else None
        raise refused(
            f"the weights in `{folder.path}` are quantized "
            f"({method or 'quantization_config of config.json'}); give the model in float32, bfloat16 or "
            "float16"
        )


def _refuse_own_code(folder: Folder, loaded_by: str) -> None:
    """Refuse a folder with a class of its own, whose model type transformers may read otherwise."""
    if loaded_by in facts.auto_map(folder) and folder.config.get("model_type") not in NATIVE:
        raise own_code(folder)


def _loaded_by(recipe: Recipe) -> str:
    """Return the class of transformers by which Sentence Transformers loads a recipe's network."""
    match recipe.head:
        case Rows(source="vocabulary"):
            return "AutoModelForCausalLM"
        case Stack():
            return "AutoModel"
        case _:
            return "AutoModelForSequenceClassification"


def own_code(folder: Folder) -> PermanentStartError:
    """Return the refusal of a folder whose model is made by code that it brings."""
    return refused(
        f"the model in `{folder.path}` brings its own code; set PODIUM_TRUST_REMOTE_CODE=true and "
        "PODIUM_REVISION to a commit that you have read"
    )


def _unknown(folder: Folder) -> PermanentStartError:
    """Return the refusal of a language model that nothing recognises, in words that name what is there."""
    template = (
        "no chat template"
        if folder.chat_template is None
        else f"a chat template that does not name the roles query and document ({folder.chat_template_from})"
    )
    return refused(
        f"`{folder.path / 'config.json'}` names {folder.architecture}, a language model, with {template}: "
        "nothing there says how it scores a pair; give the model by its exact name `owner/name`, or set "
        f"PODIUM_FAMILY to one of {', '.join(NAMES)}"
    )

"""The modular layout of Sentence Transformers, releases 3 to 6: modules.json and what it names, as a recipe.

Conditions and precedence are the library's own (cross_encoder/model.py and base/model.py of release 6.2).
What is not known is named and refused; nothing is skipped in silence.
"""

import re
from collections.abc import Sequence

from podium.models import chat_templates, facts, modular_head, modular_transformer
from podium.models.folder import MODULES, Folder, refused
from podium.models.modular_head import Module
from podium.models.recipe import Chat, Own, Recipe, Rows

NAME = "modular"

_SETTINGS = "config_sentence_transformers.json"
_KNOWN_SETTINGS = frozenset(
    {
        "__version__",
        "activation_fn",
        "default_prompt_name",
        "keep_in_fp32_modules",
        "model_type",
        "prompts",
        "requirements",
        "similarity_fn_name",
    }
)
_HEADS = re.compile(r"model\.(classifier|score|head|pooler|lm_head)(\.|$)|.*\.pooler\.")
"""Parts of a Transformer module that are its head, which computes in float32 anyway."""


def uses_modules(folder: Folder) -> bool:
    """Whether modules.json counts: the library takes its own defaults for another kind of model."""
    return MODULES in folder.json and folder.object(_SETTINGS).get("model_type") == "CrossEncoder"


def recognised(folder: Folder) -> str | None:
    """Return the evidence for this layout: modules.json, or a chat template with both roles; else None.

    Raises PermanentStartError for modules of another kind of model, where the checkpoint has no head itself.
    """
    if uses_modules(folder):
        return MODULES
    if MODULES in folder.json:
        kind = folder.object(_SETTINGS).get("model_type", "SentenceTransformer")
        if not facts.sequence_classifier(folder):
            raise refused(
                f"`{folder.path}` holds a {kind} by its modules.json and {_SETTINGS}, and config.json names "
                f"{folder.architecture or 'no class'}, which has no head: it makes embeddings and scores no "
                f"pairs; a reranker's {_SETTINGS} says `model_type` CrossEncoder"
            )
    # a language model's template often passes any role through
    meant = chat_templates.names_roles(folder) or not facts.causal(folder)
    if meant and chat_templates.carries_pair(folder):
        return f"the chat template of {folder.chat_template_from}, with the roles query and document"
    return None


def recipe(folder: Folder, evidence: str) -> Recipe:
    """Return how the model scores.

    Raises PermanentStartError where the library would score otherwise, or not at all.
    """
    if not uses_modules(folder):
        return _without_modules(folder, evidence)
    _check_settings(folder)
    modules = modular_head.modules(folder)
    options = modular_transformer.options(folder, modules[0])
    state, head = modular_head.scored(folder, options.task, modules[1:])
    prompt = facts.prompt(folder)
    if not isinstance(options.template, Chat) and prompt.saved:
        modular_head.refuse_prompts_left_out(folder, modules[1:])
    return Recipe(
        family=NAME,
        recognised_by=evidence,
        in_modules=True,
        template=options.template,
        attention=facts.attention(folder),
        state=state,
        by_class=facts.by_class(folder),
        head=head,
        network="classifier" if isinstance(head, Own) else "base",
        config=facts.overrides(folder),
        length=options.length.tokens,
        length_from=options.length.said_by,
        truncation_side=facts.truncation_side(folder),
        lower_case=options.lower_case,
        segments=facts.segments(folder),
        instruction=prompt.text,
        instruction_use="slot"
        if isinstance(options.template, Chat)
        else ("before query" if prompt.saved else "none"),
        activation=facts.activation(folder, modular=True),
        notes=_notes(modules),
    )


def _without_modules(folder: Folder, evidence: str) -> Recipe:
    """A chat template and no modules: yes against no for a language model, else the classifier's own head."""
    chat = chat_templates.chat_of(folder)
    if chat is None or not chat_templates.carries_pair(folder):
        raise refused(
            f"`{folder.path}` has neither modules.json nor a chat template with the roles query and "
            "document, so it is no model of the modular layout; set PODIUM_FAMILY to another one"
        )
    causal = facts.causal(folder)
    if causal:
        yes, no = facts.token(folder, "yes"), facts.token(folder, "no")
        head: Rows | Own = Rows(source="vocabulary", true=yes, false=no)
    else:
        facts.one_label(folder)
        head = Rows(source="score", true=0) if facts.decoder(folder.config) else Own()
    said = facts.length(folder)
    return Recipe(
        family=NAME,
        recognised_by=evidence,
        template=chat,
        attention=facts.attention(folder),
        state="last" if causal else facts.state(folder),
        by_class=facts.by_class(folder),
        head=head,
        network="classifier" if isinstance(head, Own) else "base",
        config=facts.overrides(folder),
        length=said.tokens,
        length_from=said.said_by,
        truncation_side=facts.truncation_side(folder),
        segments=facts.segments(folder),
        instruction_use="slot",
        activation=facts.activation(folder, modular=False),
    )


def _check_settings(folder: Folder) -> None:
    said = folder.object(_SETTINGS)
    if unknown := sorted(set(said) - _KNOWN_SETTINGS):
        raise refused(f"`{folder.path / _SETTINGS}` has `{unknown[0]}`, which Podium does not know")
    kept = said.get("keep_in_fp32_modules") or []
    for name in kept if isinstance(kept, list) else [kept]:
        module, _, rest = str(name).partition(".")
        if module == "0" and not _HEADS.match(rest):
            raise refused(
                f"`{folder.path / _SETTINGS}` keeps `{name}` in float32 (keep_in_fp32_modules); Podium does "
                "so for the head alone"
            )


def _notes(modules: Sequence[Module]) -> tuple[str, ...]:
    return tuple(f"{module}: nothing to do when scoring" for module in modules if module.kind == "Dropout")

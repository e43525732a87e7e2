"""The options of the modular layout's Transformer: its task, its length, and how a pair becomes text."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from podium.models import chat_templates, facts
from podium.models.facts import Length
from podium.models.folder import OBJECTS, Folder, refused
from podium.models.modular_head import Module
from podium.models.recipe import Chat, Pair, Template

_OUTPUTS = {
    "sequence-classification": ("logits", "scores"),
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
    "text-generation": ("logits", "causal_logits"),
}
"""Task → what is taken of the network's output, and the name under which it is handed on."""

_KNOWN = frozenset(
    {
        "transformer_task",
        "modality_config",
        "module_output_name",
        "processing_kwargs",
        "max_seq_length",
        "do_lower_case",
        # of no meaning for a pair's score
        "unpad_inputs",
        "query_length",
        "document_length",
        "query_expansion",
    }
)
_ARGUMENTS = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}
"""Older names of options → newer ones."""
_HARMLESS = frozenset(
    {"attn_implementation", "dtype", "torch_dtype", "trust_remote_code", "padding_side", "use_fast"}
)
_SIZES = frozenset({"padding", "truncation", "max_length", "return_tensors"})
_CALLED = frozenset(
    {
        "chat_template",
        "continue_final_message",
        "return_assistant_tokens_mask",
        "return_dict",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
    }
)
"""Arguments of transformers' `apply_chat_template` that are no variables of the template."""
_TEXT = _SIZES | {"padding_side", "pad_to_multiple_of", "logits_to_keep"}


class Options(NamedTuple):
    """What a Transformer module's file says of pairs."""

    task: str
    template: Template
    length: Length
    lower_case: bool


def options(folder: Folder, module: Module) -> Options:
    """Read the Transformer's file; raises PermanentStartError for a task or an option that is not known."""
    name = next((name for name in OBJECTS if name.startswith("sentence_") and folder.object(name)), None)
    config = dict(folder.object(name)) if name else {}
    file = name or "sentence_bert_config.json"
    for old, new in _ARGUMENTS.items():
        if old in config:
            config[new] = config.pop(old)
    nested = {new: config.pop(new, None) or {} for new in _ARGUMENTS.values()}
    length = nested["processor_kwargs"].pop("model_max_length", None) if nested["processor_kwargs"] else None
    for new, values in nested.items():
        if unknown := sorted(set(values) - _HARMLESS):
            raise _refused(folder, file, f"has `{new}` with `{unknown[0]}`, which Podium does not know")
    if config.pop("tokenizer_name_or_path", None) is not None:
        raise _refused(folder, file, "takes its tokenizer from elsewhere (tokenizer_name_or_path)")
    if unknown := sorted(set(config) - _KNOWN):
        raise _refused(folder, file, f"has `{unknown[0]}`, which Podium does not know")
    task = config.get("transformer_task", "feature-extraction")
    if task not in _OUTPUTS:
        raise _refused(folder, file, f"has the task `{task}`; Podium knows {', '.join(_OUTPUTS)}")
    processing = _processing(folder, file, config)
    template = _template(folder, file, config, processing, task)
    return Options(
        task=task,
        template=template,
        length=_length(folder, file, config, processing, length, chat=isinstance(template, Chat)),
        lower_case=config.get("do_lower_case") is True,
    )


def _processing(folder: Folder, file: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `processing_kwargs`, by the kinds of input that matter for text."""
    said = config.get("processing_kwargs") or {}
    if not isinstance(said, dict) or not all(isinstance(values, dict) for values in said.values()):
        raise _refused(folder, file, "has `processing_kwargs` that are no objects")
    kinds = {kind: dict(said.get(kind, {})) for kind in ("common", "text", "chat_template")}
    for kind in ("common", "text"):
        if unknown := sorted(set(kinds[kind]) - _TEXT):
            raise _refused(
                folder, file, f"has `processing_kwargs.{kind}.{unknown[0]}`, which Podium does not know"
            )
    for kind, values in kinds.items():
        if (cut := values.get("truncation", True)) not in (True, "longest_first"):
            raise _refused(
                folder, file, f"has `processing_kwargs.{kind}.truncation` {cut!r}; Podium knows longest_first"
            )
    return kinds


def _length(
    folder: Folder,
    file: str,
    config: Mapping[str, Any],
    processing: Mapping[str, Mapping[str, Any]],
    tokenizer: Any,
    *,
    chat: bool,
) -> Length:
    """Return the length by the library's precedence: what a call is given wins over what the module is."""
    order = ("chat_template", "text", "common") if chat else ("common", "text")
    said = [(f"processing_kwargs.{kind}.max_length", processing[kind].get("max_length")) for kind in order]
    said += [
        ("processor_kwargs.model_max_length", tokenizer),
        ("max_seq_length", config.get("max_seq_length")),
    ]
    for key, value in said:
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _refused(folder, file, f"has `{key}` {value!r}; it is a number of tokens")
        return Length(value, f"{file}: {key}")
    return facts.length(folder)


def _template(
    folder: Folder,
    file: str,
    config: Mapping[str, Any],
    processing: Mapping[str, Mapping[str, Any]],
    task: str,
) -> Template:
    """Return how a pair becomes text: by the chat template only where `modality_config` has messages."""
    taken, handed_on = _OUTPUTS[task]
    modalities = config.get("modality_config") or {"text": {"method": "forward", "method_output_name": taken}}
    if config.get("module_output_name", handed_on) != handed_on:
        raise _refused(
            folder,
            file,
            f"has `module_output_name` `{config['module_output_name']}`; Podium knows `{handed_on}`",
        )
    messages = "message" in modalities
    used = modalities.get("message" if messages else "text")
    if not isinstance(used, dict):
        raise _refused(folder, file, "has a `modality_config` without text and without message")
    for key, known in (("method", "forward"), ("method_output_name", taken)):
        if (said := used.get(key)) not in (known, [known]):
            raise _refused(
                folder, file, f"has `modality_config` with `{key}` {said!r}; Podium knows `{known}`"
            )
    if not messages:
        return Pair()
    if folder.chat_template is None:
        raise _refused(folder, file, "feeds pairs as messages, and there is no chat template")
    given = processing["chat_template"]
    if called := sorted(key for key in _CALLED & given.keys() if given[key]):
        raise _refused(
            folder, file, f"has `processing_kwargs.chat_template.{called[0]}`, which Podium does not know"
        )
    aside = _SIZES | _CALLED | {"restore_suffix"}
    arguments = {key: value for key, value in given.items() if key not in aside}
    structured = chat_templates.structured(folder.chat_template, str(used.get("format", "auto")))
    chat = Chat(source=folder.chat_template, structured=structured, arguments=arguments)
    if not chat_templates.carries_pair(folder, chat):
        raise _refused(
            folder,
            file,
            f"feeds pairs as messages, and the chat template of {folder.chat_template_from} carries no query "
            "and document",
        )
    return chat


def _refused(folder: Folder, file: str, what: str) -> Exception:
    return refused(f"`{folder.path / file}` {what}")

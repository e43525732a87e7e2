"""What a folder's chat template is, and whether it carries a query and a document."""

from functools import cache

import msgspec

from podium.models import facts
from podium.models.folder import MODULES, Folder, refused
from podium.models.recipe import Chat
from podium.models.text.rendering import DatedTemplate, Messages, Renderer, TemplateFailed


def carries_pair(folder: Folder, chat: Chat | None = None) -> bool:
    """Whether a chat template carries a query and a document: without both it counts as none.

    Found out as Sentence Transformers does, by rendering pairs that differ in one of them. `chat` is the
    folder's template with its arguments, by default without any. Raises PermanentStartError where it carries
    a pair and writes the day's date, or takes more than it may, and RendererLost where nobody can know.
    """
    chat = chat or chat_of(folder)
    try:
        return chat is not None and _carries_pair(msgspec.json.encode((chat, special_tokens(folder))))
    except ValueError as error:
        pair = ", or set PODIUM_FAMILY=cross-encoder, which reads the tokenizer's own pair"
        raise refused(
            f"the chat template of `{folder.path / str(folder.chat_template_from)}`: {error}"
            f"{'' if MODULES in folder.json or facts.causal(folder) else pair}"
        ) from None


def names_roles(folder: Folder) -> bool:
    """Whether the chat template itself writes the names of the roles query and document.

    Ordinary language models often have one that passes any role through.
    """
    return folder.chat_template is not None and all(
        f"'{role}'" in folder.chat_template or f'"{role}"' in folder.chat_template
        for role in ("query", "document")
    )


def chat_of(folder: Folder) -> Chat | None:
    """Return the folder's chat template, as it is read where nothing else is said of it."""
    if folder.chat_template is None:
        return None
    return Chat(source=folder.chat_template, structured=structured(folder.chat_template))


def special_tokens(folder: Folder) -> dict[str, str]:
    """Return the tokenizer's special tokens by their roles, which chat templates may write."""
    said = {**folder.object("special_tokens_map.json"), **folder.object("tokenizer_config.json")}
    tokens = {}
    for role in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"):
        token = said.get(role)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            tokens[role] = token
    return tokens


_PROBES = (
    Messages(None, "alpha", "bravo"),
    Messages(None, "charlie", "bravo"),
    Messages(None, "alpha", "foxtrot"),
)


@cache
def _carries_pair(asked: bytes) -> bool:
    chat, tokens = msgspec.json.decode(asked, type=tuple[Chat, dict[str, str]])
    try:
        with Renderer(chat, tokens) as renderer:
            base, *others = renderer.render(_PROBES)
    except DatedTemplate as error:
        base, *others = error.rendered
        if base in others:
            return False
        raise
    except TemplateFailed:
        return False
    return base not in others


STRUCTURED = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")
"""What in a template's source tells Sentence Transformers that contents are lists of parts."""


def structured(template: str, said: str = "auto") -> bool:
    """Whether messages' contents are lists of parts, as `modality_config` says, else as the template
    looks."""
    return said == "structured" if said != "auto" else any(mark in template for mark in STRUCTURED)

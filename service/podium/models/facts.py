"""What a folder's files say of length, labels, prompts and the like, in the reference's order of precedence.

Each function is pure and reads a `Folder`; families and the modular layout share them.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from podium.models.architectures import ENCODERS
from podium.models.folder import Folder, refused
from podium.models.recipe import Rows

DECODERS = frozenset(
    {
        "gemma",
        "gemma2",
        "gpt2",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    }
)
"""Values of `model_type` whose attention is causal and whose classifier, `score`, reads the last token."""

MOST_LABELS = 1 << 16
"""Labels that are counted out: the file may say any number of them, and each is made a name."""

_ENDLESS = 10**20
"""transformers writes 1e30 as model_max_length where nobody set one."""


class Length(NamedTuple):
    """Tokens of a pair at most, and the file and key that say so."""

    tokens: int | None
    said_by: str


class Prompt(NamedTuple):
    """What the files say of instructions."""

    text: str | None
    """The one that is used where a request brings none."""
    saved: bool
    """Whether any prompts are saved with the model."""


def decoder(config: Mapping[str, Any]) -> bool:
    """Whether the network is a decoder."""
    return config.get("model_type") in DECODERS


def attention(folder: Folder) -> Literal["bidirectional", "causal"]:
    """Return what a token attends; transformers reads `is_causal: false`.

    Of the decoders here Gemma alone reads `use_bidirectional_attention`, and its mask does not: raises
    PermanentStartError there.
    """
    config = folder.config
    if config.get("is_causal") is False:
        return "bidirectional"
    if config.get("use_bidirectional_attention") and config.get("model_type") == "gemma":
        raise refused(
            f"`{folder.path / 'config.json'}` has `use_bidirectional_attention`, by which transformers reads "
            "a pair in both directions where it is alone, and in one beside a longer pair; add `is_causal` "
            "false where the model was trained in both, or take it out"
        )
    return "causal" if decoder(config) else "bidirectional"


def by_class(folder: Folder) -> bool:
    """Whether transformers' class alone knows what a token attends and what its classifier reads: it is none
    of those that `attention` and `state` know, or config.json makes it another one (a BERT `is_decoder`,
    EuroBERT's "late" pooling).
    """
    config = folder.config
    turned = bool(config.get("is_decoder") or config.get("add_cross_attention"))
    late = config.get("model_type") == "eurobert" and _pooling(folder) not in ("bos", "mean")
    known = config.get("model_type") in ENCODERS | {"deberta-v2"} and not turned and not late
    return not known and not decoder(config)


def sequence_classifier(folder: Folder) -> bool:
    """Whether config.json names a sequence classification class."""
    return (folder.architecture or "").endswith("ForSequenceClassification")


def causal(folder: Folder) -> bool:
    """Whether config.json names a language model's class."""
    return (folder.architecture or "").endswith(("ForCausalLM", "LMHeadModel"))


def labels(folder: Folder) -> tuple[str, ...]:
    """Return the names of the labels, in the order of their numbers.

    One for a class without a head, as Sentence Transformers has it; else by transformers' rule: two where
    none are named, and one by `num_labels` 1, however many names there are. Raises PermanentStartError where
    `id2label` is no mapping of numbers to names.
    """
    if not sequence_classifier(folder):
        return ("LABEL_0",)
    named, number = folder.config.get("id2label"), folder.config.get("num_labels")
    if named is None or (number == 1 and isinstance(named, dict) and len(named) > 1):
        count = number if isinstance(number, int) and not isinstance(number, bool) else 2
        if count > MOST_LABELS:
            raise refused(
                f"`{folder.path / 'config.json'}` has `num_labels` {count}; a reranker has exactly one"
            )
        return tuple(f"LABEL_{index}" for index in range(count))
    try:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    except (TypeError, ValueError):
        raise refused(
            f"`{folder.path / 'config.json'}` has `id2label` {str(named)[:100]}, which is no object of "
            'numbers to names; a reranker has one label: {"0": "LABEL_0"}'
        ) from None


def one_label(folder: Folder) -> str:
    """Return the name of the one label.

    Raises PermanentStartError where the files say that there are more.
    """
    found = labels(folder)
    if len(found) != 1:
        said = [key for key in ("id2label", "num_labels") if folder.config.get(key) is not None]
        said_by = said[0] if said else "neither id2label nor num_labels"
        raise refused(
            f"the model in `{folder.path}` has {len(found)} labels ({said_by} of config.json); a reranker "
            "has exactly one"
        )
    return found[0]


def overrides(folder: Folder) -> dict[str, object]:
    """Return fields that must replace config.json's for one label to be loaded at all."""
    fields: dict[str, object] = {}
    found = labels(folder)
    # transformers refuses this combination, which only a loss function reads
    if folder.config.get("problem_type") == "single_label_classification" and len(found) == 1:
        fields["problem_type"] = "regression"
    # whatever number the one label has in the file
    if len(found) == 1:
        fields |= {"id2label": {"0": found[0]}, "label2id": {found[0]: 0}, "num_labels": 1}
    if (pooling := _pooling(folder)) != folder.config.get("classifier_pooling"):
        fields["classifier_pooling"] = pooling
    return fields


def _pooling(folder: Folder) -> object:
    """Return how the checkpoint's own classifier pools, where config.json says so.

    EuroBERT's vendor wrote `clf_pooling`, with the same values, which transformers does not read.
    """
    vendors = "clf_pooling" if folder.config.get("model_type") == "eurobert" else "classifier_pooling"
    return folder.config.get("classifier_pooling", folder.config.get(vendors))


def auto_map(folder: Folder) -> dict[str, Any]:
    """Return the classes of the folder's own code, by transformers' names for them."""
    said = folder.config.get("auto_map")
    return said if isinstance(said, dict) else {}


def length(folder: Folder) -> Length:
    """Return the length that the tokenizer's files say, without Sentence Transformers' own."""
    said = folder.object("tokenizer_config.json").get("model_max_length")
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < _ENDLESS:
        return Length(int(said), "tokenizer_config.json: model_max_length")
    return Length(None, "positions")


def truncation_side(folder: Folder) -> Literal["left", "right"]:
    """Return which end of a long text is cut off: tokenizer_config.json says so, else tokenizer.json."""
    said = folder.object("tokenizer_config.json").get("truncation_side", folder.truncation_side)
    if said in ("left", "right"):
        return "left" if said == "left" else "right"
    raise refused(
        f"`{folder.path / 'tokenizer_config.json'}` has `truncation_side` {said!r}; it is `left` or `right`"
    )


def segments(folder: Folder) -> bool:
    """Whether the tokenizer's files leave it token types; its class decides where they do not say."""
    said = folder.object("tokenizer_config.json").get("model_input_names")
    return not isinstance(said, list) or "token_type_ids" in said


def state(folder: Folder) -> Literal["first", "mean", "last"]:
    """Return which state the checkpoint's own classifier reads."""
    if decoder(folder.config):
        return "last"
    pools = folder.config.get("model_type") in ("eurobert", "modernbert")  # others have no such field
    return "mean" if pools and _pooling(folder) == "mean" else "first"


def activation(folder: Folder, *, modular: bool) -> str:
    """Return what Sentence Transformers applies to logits: `sigmoid`, `identity`, or another's name.

    `modular`: config_sentence_transformers.json is read too.
    """
    nested = folder.config.get("sentence_transformers")
    said = folder.object("config_sentence_transformers.json").get("activation_fn") if modular else None
    if not said and isinstance(nested, dict):
        said = nested.get("activation_fn")
    if not said:
        said = folder.config.get("sbert_ce_default_activation_function")
    # a class from elsewhere is code: the library does not run it unasked either, and takes its default
    if not isinstance(said, str) or not said.startswith("torch."):
        return "sigmoid"
    name = said.rpartition(".")[2]
    return {"Sigmoid": "sigmoid", "Identity": "identity"}.get(name, name)


def prompt(folder: Folder) -> Prompt:
    """Return the default prompt of config_sentence_transformers.json.

    Raises PermanentStartError where the default is none of the prompts, or prompts are no texts.
    """
    path = folder.path / "config_sentence_transformers.json"
    said = folder.object(path.name)
    prompts, name = said.get("prompts") or {}, said.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise refused(f"`{path}` has `prompts` that are no object of names to texts")
    if name is not None and name not in prompts:
        raise refused(
            f"`{path}` has `default_prompt_name` {name!r}, which is none of its prompts "
            f"({', '.join(prompts)})"
        )
    return Prompt((prompts.get(name) or None) if name is not None else None, any(prompts.values()))


def token(folder: Folder, word: str) -> int:
    """Return the id of a word whose logit is read; raises PermanentStartError where it is no token."""
    found = folder.token_id(word)
    if found is None:
        raise refused(
            f"the vocabulary in `{folder.path}` has no token `{word}`, whose logit is the score; fetch its "
            "tokenizer.json again"
        )
    return found


def answer(folder: Folder, *, true: str, false: str, model: str) -> Rows:
    """Return the head of a decoder that answers by one of two words: their rows of the vocabulary, or, where
    it was converted, those of its classifier, with one label or with two.

    Raises PermanentStartError where it has others.
    """
    if not sequence_classifier(folder):
        return Rows(source="vocabulary", true=token(folder, true), false=token(folder, false))
    found = labels(folder)
    if len(found) not in (1, 2):
        raise refused(
            f"the model in `{folder.path}` has {len(found)} labels (id2label of config.json); {model} has "
            f"one, or two: {false} and {true}"
        )
    if len(found) == 1:
        return Rows(source="score", true=0)
    first = 0 if found[0].lower() == true else 1
    return Rows(source="score", true=first, false=1 - first)


def logits_scaling(folder: Folder) -> float:
    """Return by what a language model's own class divides its logits.

    Raises PermanentStartError where they are not known to be products of the last state.
    """
    config = folder.config
    if not decoder(config):
        raise refused(
            f"`{folder.path / 'config.json'}` has the model type `{config.get('model_type')}`; of language "
            f"models Podium knows {', '.join(sorted(DECODERS))}"
        )
    if config.get("model_type") == "gemma2" and config.get("final_logit_softcapping", 30.0) is not None:
        raise refused(
            f"`{folder.path / 'config.json'}` caps logits (final_logit_softcapping): a score of tokens' "
            "logits is then no product of the last state, as Podium computes it"
        )
    scaling = config.get("logits_scaling", 1.0) if config.get("model_type") == "granite" else 1.0
    if not isinstance(scaling, int | float) or not scaling > 0:
        raise refused(f"`{folder.path / 'config.json'}` has `logits_scaling` {scaling!r}; it is above 0")
    return float(scaling)

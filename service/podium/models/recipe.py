"""How a model scores a pair, as one value: everything between a folder and its logits reads this, and knows
no family's name.

A recipe is made by a pure function from what a folder says (`folder.Folder`) and the setting `family`; it
holds no tensors. Shapes: h is the hidden size of the network.
"""

from typing import Literal

import msgspec

Slot = Literal["instruction", "query", "document"]


class Hole(msgspec.Struct, frozen=True, tag=True):
    """Where a text of the request stands."""

    slot: Slot
    before: str = ""
    """Fixed text that stands before the slot where it is filled, and not where there is no instruction."""
    after: str = ""
    """Likewise behind it."""
    strip: bool = False
    """Whether white space at both ends of the text is taken away, as Python's `str.strip` does."""


class Written(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A prompt as text around slots, in order; the tokenizer reads it whole, with its special tokens."""

    parts: tuple[str | Hole, ...]
    """Fixed text, and holes for what a request brings. The instruction's may be missing, no other may."""
    bos: bool = False
    """Whether the tokenizer's own leading special token (`<s>`, `<|begin_of_text|>`) comes first."""
    apart: bool = False
    """Whether each part is tokenized by itself, as bge-reranker-v2-gemma's vendor does."""


class Chat(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A Jinja chat template with the roles system, query and document, as Sentence Transformers reads it.

    The instruction is the system message, which is left out where there is none. Special tokens are those
    that the template writes: the tokenizer adds none.
    """

    source: str
    structured: bool = False
    """Whether a message's content is `[{"type": "text", "text": …}]`; else it is the text itself."""
    arguments: dict[str, object] = {}
    """Further variables of the template, `add_generation_prompt` among them."""


class Pair(msgspec.Struct, frozen=True, tag=True):
    """The tokenizer's own pair encoding, such as `[CLS] query [SEP] document [SEP]`."""


Template = Pair | Written | Chat


class Own(msgspec.Struct, frozen=True, tag=True):
    """The checkpoint's own classification module, given each pair's state; one logit."""


class Rows(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A difference of two rows of a matrix, or one row: state · (rows[true] − rows[false])."""

    source: Literal["vocabulary", "score"]
    """The output embedding, (vocabulary, h), tied or not; or the classification head `score`, (labels, h)."""
    true: int
    false: int | None = None


class Dense(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A linear layer with an activation, as Sentence Transformers' module of that name."""

    folder: str
    """Subfolder with its weights: `linear.weight`, `linear.bias`, `residual.weight`, and what an activation
    has, `activation_function.weight`."""
    inputs: int
    outputs: int
    bias: bool = True
    activation: str = "torch.nn.modules.activation.Tanh"
    """Dotted name of a class of torch.nn that takes no arguments."""
    residual: bool = False

    @property
    def described(self) -> str:
        """The module in words."""
        return f"Dense {self.inputs} to {self.outputs}, {self.activation.rpartition('.')[2]}"


class LayerNorm(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Layer normalization over the last dimension, epsilon 1e-5."""

    folder: str
    size: int

    @property
    def described(self) -> str:
        """The module in words."""
        return "LayerNorm"


class Normalize(msgspec.Struct, frozen=True, tag=True):
    """Division by the Euclidean norm."""

    @property
    def described(self) -> str:
        """The module in words."""
        return "Normalize"


class Stack(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Modules in order; the last one has one output."""

    modules: tuple[Dense | LayerNorm | Normalize, ...]


Head = Own | Rows | Stack


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a model scores."""

    family: str
    """Name of the row of the table of families, `modular`, or `cross-encoder`."""
    recognised_by: str
    """The evidence, as a phrase for people: "modules.json", "Qwen3ForCausalLM with yes and no, …"."""
    in_modules: bool = False
    """Whether modules.json of Sentence Transformers has a say in it."""
    template: Template = Pair()
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    state: Literal["first", "mean", "last"] = "first"
    """Which state the head reads; the mean counts all tokens of the pair, special ones included."""
    head: Head = Own()
    by_class: bool = False
    """Whether transformers' class alone knows what a token attends, and what a head of its own reads: neither
    is told then, and its forward is run whole."""
    network: Literal["classifier", "base"] = "classifier"
    """Which class of transformers is built: the sequence classification model, or the base model alone."""
    architecture: str | None = None
    """`model_type` to build it as, where the config's own is not one of transformers' (gte for `new`)."""
    config: dict[str, object] = {}
    """Fields that replace those of config.json for it."""
    renamed: dict[str, str] = {}
    """Prefixes of tensor names in the files → in the network; a longer prefix wins, "" takes the others."""
    replaced: dict[str, tuple[str, ...]] = {}
    """Parts of names, after that → what stands there in the network; the longest wins. Where they are
    several, the tensor's rows are shared out among them evenly: a merged product of query, key and value."""
    temperature: float = 1.0
    """By which the logit is divided."""
    length: int | None = None
    """Tokens of a pair at most as the folder's files say; positions and the user's setting may say less."""
    length_from: str = "positions"
    """Which file and key said so: `tokenizer_config.json: model_max_length`."""
    truncation_side: Literal["left", "right"] = "right"
    """Which end of a long document is cut off."""
    lower_case: bool = False
    """Whether texts are lowered before they are tokenized."""
    segments: bool = True
    """Whether the tokenizer's own `model_input_names` has token types."""
    instruction: str | None = None
    """What stands in the instruction's place where nobody says otherwise: the files' default prompt."""
    instruction_use: Literal["slot", "before query", "none"] = "none"
    """Where an instruction goes; "none": it is ignored, and said so once."""
    activation: str = "sigmoid"
    """What the files say is applied to logits: `sigmoid`, `identity`, or the name of another; only told."""
    notes: tuple[str, ...] = ()
    """What a user ought to know: files left aside, a vision tower that is not loaded, …"""

    @property
    def passes_padding(self) -> bool:
        """Whether the last token is the last one that is no padding: so transformers' own classifiers of
        decoders read a pair, padding that its template writes at its end included."""
        return self.state == "last" and isinstance(self.head, Rows) and self.head.source == "score"

    @property
    def template_described(self) -> str:
        """How a pair becomes text, in words."""
        match self.template:
            case Pair():
                return "the tokenizer's own pair"
            case Chat():
                return "the folder's chat template"
            case Written():
                return f"the prompt of {self.family}"

    @property
    def attention_described(self) -> str:
        """What a token attends, in words."""
        return "the model's own class decides" if self.by_class else self.attention

    @property
    def described(self) -> str:
        """Which state is read and what makes the logit of it, in words."""
        states = {"first": "first token", "mean": "mean of all tokens", "last": "last token"}
        state = states[self.state]
        if self.by_class and isinstance(self.head, Own):
            state = "what the model's own class reads"
        match self.head:
            case Own():
                head = "the checkpoint's own head"
            case Rows(source=source, true=true, false=None):
                head = f"row {true} of the {source}"
            case Rows(source=source, true=true, false=false):
                head = f"row {true} of the {source} minus row {false}"
            case Stack(modules=modules):
                head = ", ".join(part.described for part in modules)
        divided = "" if self.temperature == 1 else f", divided by {self.temperature:g}"
        return f"{state}: {head}{divided}"

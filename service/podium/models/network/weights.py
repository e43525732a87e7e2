"""From a folder's tensors to a network of transformers, straight into the dtype that is served.

Files are mapped, not read: a tensor comes into memory when the network takes it, in the dtype in which it
stays there. What heads compute with stays float32, read in the files' own precision.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoModelForTextEncoding
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from podium.models.folder import first_line, refused
from podium.models.linear.stored import StoredLinear
from podium.models.network.tensors import Part, Stored, Tensors, listed
from podium.models.recipe import Recipe

logger = logging.getLogger(__name__)

_OUTPUTS = ("lm_head.weight", "embed_out.weight")
"""Names of the output embedding in transformers' decoders."""


class Built:
    """A network with its weights, and the tensors of its folder, for heads."""

    def __init__(self, network: Any, files: Tensors, renamed: Mapping[str, str]) -> None:
        self.network = network
        """The sequence classification or the base model, as `Recipe.network` says, in evaluation mode."""
        self._files = files
        self._renamed = renamed

    def tensors(self, subfolder: str) -> dict[str, Tensor]:
        """Read all tensors of a folder in the model's, `2_Dense`, in their own precision, by name.

        Raises PermanentStartError where it has none.
        """
        return {name: stored[...] for name, stored in self._files.below(subfolder).items()}

    def rows(self, source: str, rows: Sequence[int]) -> Tensor:
        """Read rows of the output embedding, `vocabulary`, or of the classification head, `score`.

        Returns (len(rows), h) in the files' own precision. The output embedding is the input's where the
        config ties them and the files have none of its own. Raises PermanentStartError where neither is
        there, or a row is not, or the head has other rows than the config has labels: a base model is built
        without it, and transformers compares no shapes.
        """
        name = self._matrix(source)
        count, labels = self._files.shape(name)[0], self.network.config.num_labels
        if source == "score" and count != labels:
            raise refused(
                f"`{name}` in `{self._files.folder}` has {_counted(count, 'row')}, and config.json says "
                f"{_counted(labels, 'label')}: nothing tells which row is the score; name the labels of "
                "the weights in `id2label`, or fetch the model again"
            )
        if beyond := [row for row in rows if not 0 <= row < count]:
            raise refused(f"`{name}` in `{self._files.folder}` has {count} rows, and no row {beyond[0]}")
        return torch.cat([self._files[name][row : row + 1] for row in rows])

    def _matrix(self, source: str) -> str:
        """Return the name in the files of the matrix that `rows` reads."""
        wanted = ["score.weight", "classifier.weight"]
        if source == "vocabulary":
            tied = getattr(self.network.config.get_text_config(), "tie_word_embeddings", False)
            wanted = [*_OUTPUTS, *(self._inputs() if tied else ())]
        stored = {renamed: stored for stored, renamed in self._renamed.items()}
        for name in wanted:
            if name in stored:
                return stored[name]
        raise refused(
            f"the weights in `{self._files.folder}` lack the head: they have none of {listed(wanted)}"
        )

    def _inputs(self) -> Iterator[str]:
        """Yield the names that the input embedding may have in the files."""
        embedding = self.network.get_input_embeddings()
        for name, module in self.network.named_modules():
            if module is embedding:
                yield f"{name}.weight"
                yield f"{self.network.base_model_prefix}.{name}.weight"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def build(
    folder: Path,
    recipe: Recipe,
    *,
    dtype: torch.dtype,
    device: torch.device,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Built:
    """Build the network that a recipe names, with the weights of `folder`, on `device`.

    Its parameters have `dtype`; those of the classification head, the pooler's among them, and those that
    transformers keeps so have float32. For int8 all have, but that weights of linear layers stay in half
    precision where all tensors are stored so: no copy of them is made. Raises PermanentStartError where
    tensors are missing, have no place in the network, or other shapes.
    """
    config = config_of(folder, recipe, trust_remote_code=trust_remote_code)
    network_class = _class(folder, config, recipe, trust_remote_code=trust_remote_code)
    files = Tensors(folder, allow_pickle=allow_pickle)
    renamed = {name: _renamed(name, recipe) for name in files}
    state = _state(files, renamed, recipe)
    base_only = recipe.network == "base"
    try:
        if dtype == torch.int8:
            network, found = _loaded_for_int8(network_class, config, state, files.half(), heads=not base_only)
        else:
            network, found = _loaded(network_class, config, state, dtype, heads=not base_only)
    except Exception as error:  # whatever transformers finds wrong with them, they cannot be loaded
        raise refused(f"the weights in `{folder}` cannot be loaded: {first_line(error)}") from error
    if base_only and getattr(network, "pooler", None) is not None:
        network.pooler = None  # no head of a base model reads it
    _check(found, network.base_model, files, base_only=base_only)
    return Built(network.eval().requires_grad_(False).to(device), files, renamed)


def config_of(folder: Path, recipe: Recipe, *, trust_remote_code: bool = False) -> Any:
    """Return transformers' config of the network: config.json, and the recipe's fields over it.

    Raises PermanentStartError where transformers does not know it.
    """
    path = folder / "config.json"
    try:
        said = json.loads(path.read_bytes())
        fields = {**said, **recipe.config}
        own = trust_remote_code and said.get("auto_map")
        named = recipe.architecture or (None if own else said.get("model_type"))
        if named in CONFIG_MAPPING:  # the file itself may not do without the recipe's fields
            config_class: Any = CONFIG_MAPPING[named]
        else:
            found = AutoConfig.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
            config_class = type(found)
        fields.pop("model_type", None)
        return config_class.from_dict(fields)
    except Exception as error:  # a config makes transformers raise anything; one fact follows
        raise refused(f"`{path}` makes no model: {first_line(error)}") from error


def _class(folder: Path, config: Any, recipe: Recipe, *, trust_remote_code: bool) -> Any:
    """Return the class of transformers, or the folder's own where it brings code and may."""
    auto: Any = AutoModel if recipe.network == "base" else AutoModelForSequenceClassification
    if recipe.network == "base" and config.model_type in ("t5", "mt5", "umt5"):
        auto = AutoModelForTextEncoding  # the encoder alone, as Sentence Transformers has it
    own = (getattr(config, "auto_map", None) or {}).get(auto.__name__)
    if own and trust_remote_code and recipe.architecture is None:
        return get_class_from_dynamic_module(own, str(folder), local_files_only=True)
    try:
        return auto._model_mapping[type(config)]
    except KeyError:
        kind = "base" if recipe.network == "base" else "sequence classification"
        raise refused(
            f"transformers has no {kind} model for `{config.model_type}`, the model_type of "
            f"`{folder}/config.json`"
        ) from None


def _renamed(name: str, recipe: Recipe) -> str:
    """Return a tensor's name in the network, its parts not yet replaced."""
    prefixes = [prefix for prefix in recipe.renamed if name.startswith(prefix)]
    if not prefixes:
        return name
    prefix = max(prefixes, key=len)
    return recipe.renamed[prefix] + name.removeprefix(prefix)


def _state(files: Tensors, renamed: Mapping[str, str], recipe: Recipe) -> dict[str, Stored]:
    """Return the stored tensors by their names in the network; merged ones are cut into their parts."""
    state: dict[str, Stored] = {}
    for stored, name in renamed.items():
        pieces = [(old, new) for old, new in recipe.replaced.items() if old in name]
        if not pieces:
            state[name] = files[stored]
            continue
        old, new = max(pieces, key=lambda piece: len(piece[0]))
        rows = files.shape(stored)[0] // len(new) if len(new) > 1 else 0
        for number, piece in enumerate(new):
            whole = files[stored]
            part = Part(whole, number * rows, (number + 1) * rows) if len(new) > 1 else whole
            state[name.replace(old, piece)] = part
    return state


def _loaded(
    network_class: Any, config: Any, state: dict[str, Stored], dtype: torch.dtype, *, heads: bool
) -> tuple[Any, dict[str, Any]]:
    """Let transformers make the network and put the tensors into it; also what it missed and had over.

    `heads`: what is not of the base model, and the pooler, is read in float32.
    """
    prefix = network_class.base_model_prefix
    # the one way to have parts of a network read so, and not rounded before: patterns that its class keeps so
    strict = set(network_class._keep_in_fp32_modules_strict or ())
    if heads:
        strict |= {rf"^(?!{prefix}\.)", rf"^{prefix}\.pooler\."}
    fields = {"__module__": network_class.__module__, "_keep_in_fp32_modules_strict": strict}
    kept: Any = type(network_class.__name__, (network_class,), fields)
    reports = logging.getLogger("transformers.modeling_utils")
    reports.addFilter(_is_no_report)
    try:
        network, found = kept.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    finally:
        reports.removeFilter(_is_no_report)
    network.__class__ = network_class
    return network, found


def _loaded_for_int8(
    network_class: Any, config: Any, state: dict[str, Stored], half: torch.dtype | None, *, heads: bool
) -> tuple[Any, dict[str, Any]]:
    """Let transformers make the network in float32, but for the weights of linear layers that are `half`."""
    network, found = _loaded(network_class, config, state, half or torch.float32, heads=heads)
    if any(buffer.dtype == half for buffer in network.buffers()):  # it was rounded as it was made
        network, found = _loaded(network_class, config, state, torch.float32, heads=heads)
    for module in network.base_model.modules():
        if type(module) is nn.Linear:
            module.__class__ = StoredLinear
        for name, parameter in module.named_parameters(recurse=False):
            if not (isinstance(module, StoredLinear) and name == "weight"):
                parameter.data = parameter.data.float()
    return network, found


def _is_no_report(record: logging.LogRecord) -> bool:
    """Whether a line of transformers' log is other than its table of tensors: `_check` tells of those."""
    return "LOAD REPORT" not in record.getMessage()


def _check(found: dict[str, Any], base: Any, files: Tensors, *, base_only: bool) -> None:
    """Refuse a network that is not wholly the files': the rest is drawn at random and would be noise."""
    subject, prefix = f"the weights in `{files.folder}`", base.base_model_prefix
    missing = sorted(name for name in found["missing_keys"] if not (base_only and name.startswith("pooler.")))
    if missing:
        remedy = "give a model that was trained for reranking, not its base model"
        raise refused(
            f"{subject} lack {len(missing)} tensors of the model: {listed(missing)}; "
            f"{'fetch the model again' if base_only else remedy}"
        )
    if found["mismatched_keys"]:
        name, stored, wanted = min(found["mismatched_keys"])
        raise refused(
            f"{subject} cannot be loaded: `{name}` has the shape {tuple(stored)} there, and {tuple(wanted)} "
            "by config.json"
        )
    unexpected = sorted(found["unexpected_keys"])
    children = {name for name, _ in base.named_children()} - {"pooler"}
    if within := [name for name in unexpected if name.removeprefix(f"{prefix}.").split(".")[0] in children]:
        raise refused(
            f"{subject} hold {len(within)} tensors that the model of config.json has no place for: "
            f"{listed(within)}; it would score without them"
        )
    if unexpected:
        logger.info("left aside, no part of the model: %s", listed(unexpected))

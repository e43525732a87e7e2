"""From a folder to a loaded model, or to a PermanentStartError that says what to do about it."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils.logging import disable_progress_bar

from podium.errors import PodiumError, is_failure
from podium.models import agreement, architectures, devices, facts, inspection, integers, processor
from podium.models.base import ModelInfo
from podium.models.cross_encoder import CrossEncoder, Forward
from podium.models.families.table import own_code, recipe_of
from podium.models.folder import Folder, first_line, read, refused
from podium.models.network.heads import make_head
from podium.models.network.packed import PackedForward
from podium.models.network.padded import PaddedForward
from podium.models.network.weights import build, config_of
from podium.models.recipe import Pair, Recipe
from podium.models.text import files
from podium.models.text.tokenizer import make

logger = logging.getLogger(__name__)


def load(
    folder: Path,
    *,
    uri: str,
    name: str | None = None,
    revision: str | None = None,
    family: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    max_length: int | None = None,
    instruction: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    keep_scales: bool = False,
) -> CrossEncoder:
    """Load the reranker that lies in `folder`; no network is used.

    `uri` is told on; `name` is what a hub calls the model, `uri` where it is None, and tells some families;
    `family` overrules what the folder says; `instruction` takes the place of the model's own default;
    `keep_scales` writes the scales of int8 into the folder where it has none for this. Takes torch's threads
    for this process: one a core that it may use. A device that does not compute what the CPU does is not
    served: `auto` then takes the CPU, with a warning; a model whose code fails in the dtype that `auto` takes
    is served in float32. Raises PermanentStartError where the folder, the device, the dtype or the length
    cannot work, or where the device was asked for by its name, and TemporaryStartError where the machine is
    too busy for the folder's chat template.
    """
    disable_progress_bar()
    loaded_on = functools.partial(
        _able,
        folder,
        uri=uri,
        name=name,
        revision=revision,
        family=family,
        dtype=dtype,
        max_length=max_length,
        instruction=instruction,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        keep_scales=keep_scales,
    )
    with _in_words(folder):
        on = devices.choose_device(device)
        model = loaded_on(on)
        wrong = agreement.disagreement(model) if agreement.is_asked(on) else None
        if wrong is not None:
            del model
            cpu, found = torch.device("cpu"), f"device `{on}` does not compute what the CPU computes: {wrong}"
            if not devices.computes(dtype, cpu):
                raise refused(f"{found}; set PODIUM_DTYPE to auto or to float32")
            if device != "auto":
                raise refused(f"{found}; set PODIUM_DEVICE to cpu, or PODIUM_DTYPE to float32 if it is not")
            logger.warning("%s; the CPU serves", found)
            model = loaded_on(cpu)
    devices.keep_freed_memory()
    return model


def _able(folder: Path, on: torch.device, *, dtype: str, **options: Any) -> CrossEncoder:
    """Return what `_loaded` does; in float32 where the model's code fails in the dtype that `auto` takes."""
    model = _loaded(folder, on, dtype=dtype, **options)
    info, forward = model.info, model.forward
    failure = forward.failure if isinstance(forward, PaddedForward) else None
    unfit = isinstance(failure, RuntimeError) and not isinstance(failure, torch.OutOfMemoryError)
    if dtype != "auto" or info.dtype == "float32" or not unfit:
        return model
    logger.warning("%s fails in %s, float32 serves: %s", info.architecture, info.dtype, failure)
    del model, forward
    model = _loaded(folder, on, dtype="float32", **options)
    said = f"auto: {info.architecture} fails in {info.dtype}"
    model.info = msgspec.structs.replace(model.info, dtype_from=said, faster=None)
    return model


def _loaded(
    folder: Path,
    on: torch.device,
    *,
    uri: str,
    name: str | None,
    revision: str | None,
    family: str,
    dtype: str,
    max_length: int | None,
    instruction: str | None,
    trust_remote_code: bool,
    allow_pickle: bool,
    keep_scales: bool,
) -> CrossEncoder:
    computed_in = devices.choose_dtype(dtype, on)
    torch.set_num_threads(devices.cores())
    devices.give_back_freed_memory()
    found = read(folder)
    recipe = with_instruction(
        recipe_of(found, family, name or uri, trust_remote_code=trust_remote_code), instruction
    )
    _refuse_unknown_architecture(found, recipe, trust_remote_code=trust_remote_code)
    config = config_of(folder, recipe, trust_remote_code=trust_remote_code)
    tokenizer = files.load(folder, config, trust_remote_code=trust_remote_code)
    floats = torch.float32 if computed_in == torch.int8 else computed_in
    built = build(
        folder,
        recipe,
        dtype=computed_in,
        device=on,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
    )
    network, architecture = built.network, type(built.network).__name__
    weights = sum(parameter.nbytes for parameter in network.parameters())
    limit, limited_by = _length(recipe, network, max_length)
    recipe = msgspec.structs.replace(recipe, segments=segments_of(recipe, network, tokenizer))
    text = make(
        tokenizer.backend_tokenizer,
        recipe,
        limit,
        segments=recipe.segments,
        special=tokenizer.special_tokens_map,
        padding=getattr(config.get_text_config(), "pad_token_id", None),
    )
    for note in text.notes:
        logger.warning("%s", note)
    head = make_head(recipe, built)
    forward: Forward
    if architectures.packable(network):
        forward = PackedForward(network, head, recipe, on, computed_in)
    elif computed_in == torch.int8:
        raise refused(
            f"dtype `int8` is for models that are packed, and {architecture} cannot be; set PODIUM_DTYPE to "
            "float32 or to auto"
        )
    else:
        logger.warning(
            "%s cannot be packed: it is served padded, which is slower on mixed lengths", architecture
        )
        forward = PaddedForward(network, head, recipe, on, computed_in)
    notes: tuple[str, ...] = ()
    dtype_from = devices.dtype_from(dtype, on, computed_in)
    if isinstance(forward, PackedForward) and computed_in == torch.int8:
        scales_from, notes = integers.serve(
            forward, text, folder, config={**found.config, **recipe.config}, keep_scales=keep_scales
        )
        dtype_from = f"{dtype_from}; {scales_from}"
        weights = forward.weights_bytes()
    info = ModelInfo(
        uri=uri,
        revision=revision,
        architecture=architecture,
        device=str(on),
        dtype=devices.name(computed_in),
        dtype_from=dtype_from,
        instruction_set=processor.instruction_set() if on.type == "cpu" else None,
        faster=_faster(computed_in, on, forward),
        forward=forward.name,
        max_length=limit,
        max_length_from=limited_by,
        special_tokens=text.special_tokens,
        longest_first=isinstance(recipe.template, Pair),
        # a prompt's document is cut at its end, whatever a tokenizer would do to the text of the whole
        truncation_side=recipe.truncation_side if isinstance(recipe.template, Pair) else "right",
        label=facts.labels(found)[0],
        family=recipe.family,
        recognised_by=recipe.recognised_by,
        scoring=recipe.described,
        instruction=recipe.instruction,
        instruction_use=recipe.instruction_use,
        activation=recipe.activation,
        weights_bytes=weights,
        max_batch_tokens=devices.batch_tokens(on, inspection.batch_bytes(config, 1, floats.itemsize)),
        notes=(*recipe.notes, *text.notes, *notes),
    )
    return CrossEncoder(info, text, forward, recipe)


def _faster(dtype: torch.dtype, device: torch.device, forward: Forward) -> str | None:
    if device.type != "cpu":
        return None
    return processor.faster(devices.name(dtype), packed=isinstance(forward, PackedForward))


def with_instruction(recipe: Recipe, instruction: str | None) -> Recipe:
    """Put the user's instruction in the place of the model's default, where the model takes one."""
    if not instruction:
        return recipe
    if recipe.instruction_use == "none":
        logger.warning("the model takes no instructions: PODIUM_INSTRUCTION is ignored")
        return recipe
    return msgspec.structs.replace(recipe, instruction=instruction)


def _length(recipe: Recipe, network: Any, wanted: int | None) -> tuple[int, str]:
    """Return the tokens of a pair, the smallest of what is asked for, what there are positions for, what the
    files say and what Podium serves; and which of them it is.
    """
    said = [
        (wanted, "PODIUM_MAX_LENGTH"),
        (recipe.length, recipe.length_from),
        (architectures.usable_length(network), "positions"),
        (architectures.short_length(network.config), "original_max_position_embeddings of longrope"),
        (architectures.longest(network.config), "the longest that Podium serves"),
    ]
    tokens, said_by = min(((one, by) for one, by in said if one is not None), key=lambda pair: pair[0])
    if wanted is not None and wanted > tokens:
        logger.warning(
            "PODIUM_MAX_LENGTH is %d; the model is served with %d tokens a pair (%s)", wanted, tokens, said_by
        )
    return tokens, said_by


def _refuse_unknown_architecture(folder: Folder, recipe: Recipe, *, trust_remote_code: bool) -> None:
    named = recipe.architecture or folder.config.get("model_type")
    if named in CONFIG_MAPPING or (facts.auto_map(folder) and trust_remote_code):
        return
    if facts.auto_map(folder):
        raise own_code(folder)
    raise refused(
        f"`{folder.path / 'config.json'}`: "
        + (f"architecture `{named}`" if named else "a model without model_type")
        + " is not known to this version of transformers"
    )


def segments_of(recipe: Recipe, network: Any, tokenizer: Any) -> bool:
    """Whether pairs have token types: where the files, the network and the tokenizer's class have them."""
    return (
        recipe.segments
        and "token_type_ids" in tokenizer.model_input_names
        and architectures.has_segments(network, told=True)
    )


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Turn whatever loading raises into one sentence: a folder makes the libraries raise anything."""
    try:
        yield
    except PodiumError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        logger.debug("loading failed", exc_info=True)
        raise refused(f"the model in `{folder}` cannot be loaded: {first_line(error)}") from error

"""From a folder to a loaded model, or to a PermanentStartError that says what to do about it."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from podium.errors import PermanentStartError, Reason
from podium.models import architectures, devices
from podium.models.base import ModelInfo
from podium.models.cross_encoder import CrossEncoder, Forward
from podium.models.network.packed import PackedForward
from podium.models.network.padded import PaddedForward
from podium.models.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_LENGTH = 8192
"""Tokens of a pair at most, whatever the model could take: attention grows with the square."""


def load(
    folder: Path,
    *,
    uri: str,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    max_length: int | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> CrossEncoder:
    """Load the sequence classification model that lies in `folder`; no network is used.

    `uri` and `revision` are only told on. Takes torch's threads for this process: one a core that it may use.
    Raises PermanentStartError where the folder, the device, the dtype or the length cannot work.
    """
    disable_progress_bar()
    on = devices.choose_device(device)
    computed_in = devices.choose_dtype(dtype, on)
    torch.set_num_threads(devices.cores())
    devices.keep_freed_memory()
    config = _config(folder, trust_remote_code)
    limit = _limit(config, max_length)
    tokenizer = _tokenizer(folder, config, limit, trust_remote_code)
    network = _network(folder, config, trust_remote_code, allow_pickle)
    architecture = type(network).__name__
    forward: Forward
    if architectures.packable(network):
        forward = PackedForward(network, on, computed_in)
    else:
        logger.warning(
            "%s cannot be packed: it is served padded, which is slower on mixed lengths", architecture
        )
        forward = PaddedForward(network, on, computed_in)
    info = ModelInfo(
        uri=uri,
        revision=revision,
        architecture=architecture,
        device=str(on),
        dtype=devices.name(computed_in),
        forward=forward.name,
        max_length=limit,
        special_tokens=tokenizer.template.size,
        label=str(config.id2label[0]),
    )
    return CrossEncoder(info, tokenizer, forward)


def _config(folder: Path, trust_remote_code: bool) -> Any:
    """Read config.json; exactly one label is a cross-encoder."""
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _refused(f"`{folder}` holds no config.json; give the folder of a whole model") from None
    except (OSError, ValueError) as error:
        raise _refused(f"`{path}` cannot be read: {error}") from error
    if raw.get("auto_map") and not raw.get("model_type") and not trust_remote_code:
        raise _refused(_NEEDS_REMOTE_CODE.format(folder=folder))
    try:
        config = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # a config makes transformers raise anything; one fact follows
        if "trust_remote_code" in str(error):
            raise _refused(_NEEDS_REMOTE_CODE.format(folder=folder)) from error
        raise _refused(
            f"`{path}`: architecture `{raw.get('model_type')}` is not known to this version of transformers "
            f"({_first_line(error)})"
        ) from error
    if config.num_labels != 1:
        raise _refused(
            f"the model in `{folder}` has {config.num_labels} labels (id2label of config.json); a reranker "
            "has exactly one"
        )
    return config


def _limit(config: Any, wanted: int | None) -> int:
    """Return the tokens of a pair: what was asked for, else what the model has, at most MAX_LENGTH."""
    usable = architectures.usable_length(config)
    if wanted is None:
        return min(usable, MAX_LENGTH)
    if wanted > min(usable, MAX_LENGTH):
        raise _refused(
            f"max_length {wanted} is more than the {min(usable, MAX_LENGTH)} tokens that the model takes; "
            "lower PODIUM_MAX_LENGTH or leave it out"
        )
    return wanted


def _tokenizer(folder: Path, config: Any, limit: int, trust_remote_code: bool) -> Tokenizer:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
        # where its files are missing, transformers makes one of the special tokens alone
        if len(tokenizer) <= len(tokenizer.all_special_ids):
            raise ValueError("it knows no words; its files are missing")  # noqa: TRY301 told like the others
        # a slow tokenizer has no backend and raises AttributeError
        return Tokenizer(tokenizer.backend_tokenizer, limit, segments=architectures.has_segments(config))
    except Exception as error:  # as above: whatever is wrong, it cannot be loaded
        raise _refused(f"the tokenizer in `{folder}` cannot be loaded: {_first_line(error)}") from error


def _network(folder: Path, config: Any, trust_remote_code: bool, allow_pickle: bool) -> Any:
    """Load the weights in float32, whatever they are stored in: the head stays so, the rest is cast later."""
    safe = any(folder.glob("*.safetensors"))
    if not safe and not any(folder.glob("*.bin")):
        raise _refused(f"`{folder}` holds no weights: neither *.safetensors nor *.bin")
    if not safe and not allow_pickle:
        raise _refused(
            f"`{folder}` holds pickled weights only, and a pickle can run code; convert them to safetensors, "
            "or set PODIUM_ALLOW_PICKLE=true if you trust their origin"
        )
    try:
        network, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=safe,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # as above: whatever is wrong, they cannot be loaded
        raise _refused(f"the weights in `{folder}` cannot be loaded: {_first_line(error)}") from error
    if missing := sorted(found["missing_keys"]):
        # transformers would draw them at random and serve noise
        raise _refused(
            f"the weights in `{folder}` lack {len(missing)} tensors of the model: {', '.join(missing[:6])}; "
            "give a model that was trained for reranking, not its base model"
        )
    return network


_NEEDS_REMOTE_CODE = (
    "the model in `{folder}` brings its own code; set PODIUM_TRUST_REMOTE_CODE=true and PODIUM_REVISION to a "
    "commit that you have read"
)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]


def _refused(message: str) -> PermanentStartError:
    return PermanentStartError(Reason.MODEL_LOAD_FAILED, message)

"""What follows the Transformer in modules.json: which state is read, and what makes the logit of it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from podium.errors import PermanentStartError
from podium.models import facts
from podium.models.folder import MODULES, Folder, module_path, refused
from podium.models.recipe import Dense, Head, LayerNorm, Normalize, Own, Rows, Stack

State = Literal["first", "mean", "last"]

KINDS = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "LogitScore", "Dropout")
_EMBEDDING, _SCORES, _LOGITS = "sentence_embedding", "scores", "causal_logits"
_STATES: dict[str, State] = {"cls": "first", "mean": "mean", "lasttoken": "last"}
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_OPTIONS = {
    "Pooling": {
        "embedding_dimension",
        "word_embedding_dimension",
        "pooling_mode",
        "include_prompt",
        *_LEGACY,
    },
    "Dense": {
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "module_input_name",
        "module_output_name",
        "use_residual",
    },
    "LayerNorm": {"dimension"},
    "Normalize": {"module_input_name", "module_output_name"},
    "LogitScore": {"true_token_id", "false_token_id", "module_input_name"},
}


class Module(NamedTuple):
    """One entry of modules.json."""

    kind: str
    """Last part of the type: releases moved the classes, and only this stayed."""
    path: str
    """Subfolder; "" is the top."""
    config: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} in `{self.path}`" if self.path else self.kind


def modules(folder: Folder) -> list[Module]:
    """Return the modules in order, a Transformer at the top first; raises PermanentStartError for others."""
    found = []
    for entry in folder.json[MODULES]:
        kind, path = str(entry.get("type", "")), module_path(entry)
        if not kind.startswith("sentence_transformers."):
            raise _refused(folder, f"has a module of type `{kind}`, which is code of its own")
        name = kind.rpartition(".")[2]
        if name not in KINDS:
            raise _refused(folder, f"has a module of type `{kind}`; Podium knows {', '.join(KINDS)}")
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise _refused(folder, f"has a module in `{path}`, outside of the model's folder")
        if "/" in path:
            raise _refused(folder, f"has a module in `{path}`; Podium knows folders right in the model's own")
        config = folder.object(f"{path}/config.json") if path else {}
        if name in _OPTIONS and name != "Normalize" and not config:
            raise _refused(
                folder,
                f"has a {name} in `{path or '.'}`, and no config.json there says what it does; fetch the "
                "model again",
            )
        if unknown := sorted(set(config) - _OPTIONS.get(name, set(config))):
            raise refused(
                f"`{folder.path / path / 'config.json'}` has the option `{unknown[0]}` of {name}, which "
                "Podium does not know"
            )
        found.append(Module(name, path, config))
    first = found[0]
    if first.kind != "Transformer" or first.path:
        raise _refused(folder, f"begins with {first}; Podium knows a Transformer at the top of the folder")
    if any(module.kind == "Transformer" for module in found[1:]):
        raise _refused(folder, "has more than one Transformer")
    return found


def scored(folder: Folder, task: str, rest: Sequence[Module]) -> tuple[State, Head]:
    """Return which state is read and the head, for a Transformer of a task and the modules that follow it."""
    rest = [module for module in rest if module.kind != "Dropout"]
    if task == "sequence-classification":
        if rest:
            raise _refused(folder, f"has {rest[0]} after a Transformer with a classification head of its own")
        facts.one_label(folder)
        head: Head = Rows(source="score", true=0) if facts.decoder(folder.config) else Own()
        return facts.state(folder), head
    if task == "text-generation":
        return "last", _logit_score(folder, rest)
    if not rest or rest[0].kind != "Pooling":
        after = str(rest[0]) if rest else "nothing"
        raise _refused(
            folder, f"has {after} after a Transformer for feature extraction; Podium knows Pooling there"
        )
    return _pooled(folder, rest[0]), _stack(folder, rest[1:])


def refuse_prompts_left_out(folder: Folder, rest: Sequence[Module]) -> None:
    """Refuse a Pooling that leaves out the prompt's tokens, where there is a prompt."""
    for module in rest:
        if module.kind == "Pooling" and module.config.get("include_prompt", True) is False:
            raise refused(
                f"`{folder.path / module.path / 'config.json'}` says include_prompt false beside saved "
                "prompts; Podium pools all tokens"
            )


def _logit_score(folder: Folder, rest: Sequence[Module]) -> Rows:
    if len(rest) != 1 or rest[0].kind != "LogitScore":
        after = ", ".join(str(module) for module in rest) or "nothing"
        raise _refused(
            folder, f"has {after} after a Transformer for text generation; Podium knows LogitScore there"
        )
    module = rest[0]
    if (name := module.config.get("module_input_name", _LOGITS)) != _LOGITS:
        raise _refused(folder, f"has {module} that reads `{name}`; Podium knows `{_LOGITS}`")
    true, false = module.config.get("true_token_id"), module.config.get("false_token_id")
    size = folder.config.get("vocab_size")
    for key, value in (("true_token_id", true), ("false_token_id", false)):
        if value is None and key == "false_token_id":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < (size or value + 1):
            raise refused(
                f"`{folder.path / module.path / 'config.json'}` has `{key}` {value!r}, which is no token of "
                f"a vocabulary of {size}"
            )
    assert isinstance(true, int)
    return Rows(source="vocabulary", true=true, false=false)


def _pooled(folder: Folder, module: Module) -> State:
    config = module.config
    said = config.get("pooling_mode")
    if "pooling_mode" not in config:
        # as the library reads what its releases before 5.2 wrote
        said = [mode for key, mode in _LEGACY.items() if config.get(key)] or ["mean"]
    modes = [str(mode) for mode in said] if isinstance(said, list) else [str(said)]
    if len(modes) != 1 or modes[0] not in _STATES:
        raise refused(
            f"`{folder.path / module.path / 'config.json'}` pools by {' and '.join(modes)}; Podium "
            f"knows {', '.join(_STATES)}, one of them"
        )
    return _STATES[modes[0]]


def _stack(folder: Folder, rest: Sequence[Module]) -> Stack:
    """Return modules as a chain: each reads what the one before wrote, and the last one writes scores."""
    parts: list[Dense | LayerNorm | Normalize] = []
    current = _EMBEDDING
    size = folder.config.get("hidden_size")  # others call it otherwise: the first product tells
    for module in rest:
        read = module.config.get("module_input_name", _EMBEDDING)
        if read != current:
            raise _refused(folder, f"has {module} that reads `{read}` where `{current}` was made last")
        current = module.config.get("module_output_name") or read
        if module.kind == "Dense":
            dense = _dense(folder, module)
            if size is not None and dense.inputs != size:
                raise _refused(folder, f"has {module} with {dense.inputs} inputs after {size} outputs")
            parts.append(dense)
            size = dense.outputs
        elif module.kind == "LayerNorm":
            parts.append(LayerNorm(folder=module.path, size=_number(folder, module, "dimension")))
        elif module.kind == "Normalize":
            parts.append(Normalize())
        else:
            raise _refused(folder, f"has {module} after a Pooling")
    if current != _SCORES or not parts:
        raise _refused(
            folder, f"ends with `{current}`; a reranker's last Dense has `module_output_name` `{_SCORES}`"
        )
    if size != 1:
        raise _refused(folder, f"ends with {size} scores a pair; a reranker has exactly one")
    return Stack(modules=tuple(parts))


def _dense(folder: Folder, module: Module) -> Dense:
    config = module.config
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if not isinstance(activation, str) or not activation.startswith("torch.nn."):
        raise refused(
            f"`{folder.path / module.path / 'config.json'}` has `activation_function` {activation!r}; Podium "
            "knows the classes of torch.nn"
        )
    return Dense(
        folder=module.path,
        inputs=_number(folder, module, "in_features"),
        outputs=_number(folder, module, "out_features"),
        bias=bool(config.get("bias", True)),
        activation=activation,
        residual=bool(config.get("use_residual", False)),
    )


def _number(folder: Folder, module: Module, key: str) -> int:
    said = module.config.get(key)
    if not isinstance(said, int) or isinstance(said, bool) or said < 1:
        raise refused(
            f"`{folder.path / module.path / 'config.json'}` has `{key}` {said!r}; {module.kind} needs a "
            "number there"
        )
    return said


def _refused(folder: Folder, what: str) -> PermanentStartError:
    return refused(f"`{folder.path / MODULES}` {what}")

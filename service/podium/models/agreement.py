"""Whether a device computes what the CPU computes in float32, layer by layer.

The device scores a handful of pairs, and what goes into each layer and comes out of it is kept. Then a twin
of the forward scores them on the CPU in float32. A layer of the twin has weights only while it runs, those
that lie on the device, and hands on what the device's layer gave. So no more than one layer is held in
float32, errors do not add up, the layer that is wrong is named, and layers may be left out where the time
runs out.

A CPU is not asked, in bfloat16 neither: its products are proved against float32 where they are fused, in any
dtype (`linear.onednn`, `network.decoder`), and the rest are torch's own.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from podium.models.base import Encoding, Model
from podium.models.cross_encoder import CrossEncoder, Forward
from podium.models.folder import first_line
from podium.models.twin import Disagreement, Passed, Twin, on_cpu, roots, states_of

logger = logging.getLogger(__name__)

_QUERIES = "What do giant pandas eat?", "Where is the Eiffel Tower?"
_DOCUMENTS = (
    "Bamboo.",
    "The giant panda is a bear species endemic to China; 99 % of what it eats is bamboo.",
    " ".join(
        f"{year}: the tower in Paris, 330 m high, had {year} thousand guests." for year in range(1998, 2006)
    ),
)
"""The last is longer than the windows of encoders that have some."""


def is_asked(device: torch.device) -> bool:
    """Whether a device has to prove itself: all but the CPU."""
    return device.type != "cpu"


def sample(model: Model) -> list[Encoding]:
    """Return pairs of different lengths, most of which share a query."""
    queries, documents = model.queries(_QUERIES), model.documents(_DOCUMENTS)
    pairs = [model.pair(queries[0], document) for document in documents]
    return [*pairs, model.pair(queries[1], documents[1])]


def disagreement(model: CrossEncoder, *, now: Callable[[], float] = time.monotonic) -> str | None:
    """Return where the model's device gives something else than the CPU, None where it does not.

    A network that cannot be run layer by layer on the CPU (code of its own may do anything) is not compared,
    and the log says so. Raises what the device raises where memory runs out.
    """
    forward, dtype, pairs = model.forward, getattr(torch, model.info.dtype), sample(model)
    with torch.inference_mode():
        try:
            stages = _stages(forward, pairs)
            passed, logits = _recorded(forward, pairs, stages)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 whatever a device raises, it cannot serve
            return f"it fails: {first_line(error)}"
        try:
            twin = Twin(forward, stages, passed, dtype, now)
            twin.check(pairs, torch.from_numpy(logits))
        except Disagreement as found:
            return str(found)
        except torch.AcceleratorError as error:  # lost since
            return f"it fails: {first_line(error)}"
        except Exception as error:  # noqa: BLE001 no fault of the device
            logger.warning(
                "what %s computes could not be compared with the CPU: %s", forward.device, first_line(error)
            )
            return None
    logger.info(
        "%s computes as the CPU does: %d of %d layers were compared", forward.device, twin.compared, twin.all
    )
    return None


def _stages(forward: Forward, pairs: Sequence[Encoding]) -> dict[str, nn.Module]:
    """Return the layers by their names: what is called of each list of modules, or its parts that are."""
    called: set[nn.Module] = set()
    modules = {module for _, root in roots(forward) for module in root.modules()}
    hooks = [module.register_forward_pre_hook(lambda module, _: called.add(module)) for module in modules]
    try:
        forward.logits(pairs)
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, nn.Module] = {}
    for name, root in roots(forward):
        found |= {at: stage for at, stage in _below(root, name, called) if stage not in found.values()}
    return found


def _below(
    module: nn.Module, name: str, called: set[nn.Module], *, listed: bool = False
) -> Iterator[tuple[str, nn.Module]]:
    for at, child in module.named_children():
        inside = listed or isinstance(module, nn.ModuleList)
        if inside and child in called and any(True for _ in child.parameters()):
            yield f"{name}.{at}", child
        else:
            yield from _below(child, f"{name}.{at}", called, listed=inside)


def _recorded(
    forward: Forward, pairs: Sequence[Encoding], stages: dict[str, nn.Module]
) -> tuple[dict[str, list[Passed]], Any]:
    """Score the pairs; return what passed through each layer, call by call, and the logits."""
    passed: dict[str, list[Passed]] = {name: [] for name in stages}
    given: list[Tensor | None] = []
    hooks = []
    for name, stage in stages.items():

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            states = states_of(args, kwargs)
            given.append(None if states is None else on_cpu(states))

        def behind(_: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
            passed[name].append(Passed(given.pop(), pytree.tree_map_only(Tensor, on_cpu, output)))

        hooks += [
            stage.register_forward_pre_hook(before, with_kwargs=True),
            stage.register_forward_hook(behind, with_kwargs=True),
        ]
    try:
        return passed, forward.logits(pairs)
    finally:
        for hook in hooks:
            hook.remove()

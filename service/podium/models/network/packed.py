"""Pad-free forward: all pairs of a batch are one sequence, and attention stays inside each pair.

Nothing of an architecture is rewritten. Its own forward runs on a batch of one long sequence, with positions
that restart at each pair and with an attention function (`attention.attend`, registered with transformers)
that knows where pairs begin. Then each pair's states are reduced to the one that its head reads and given to
the model's own head, in float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface

from podium.models import architectures
from podium.models.attention.attend import ALONE_ABOVE, attend
from podium.models.attention.rule import Rule
from podium.models.base import Encoding
from podium.models.devices import placed
from podium.models.layout import Layout
from podium.models.linear import calibration, scales
from podium.models.linear.calibration import Settled, Undecided
from podium.models.linear.int8 import Int8Linear
from podium.models.linear.onednn import Fuse, PlainLinear, fused
from podium.models.network import decoder, fusion
from podium.models.network.deberta import PackedDeberta
from podium.models.network.ends import keep_firsts
from podium.models.network.prefix_cache import Cached, PrefixCache, PrefixStates, fitting
from podium.models.network.sequences import Laid, sequences
from podium.models.recipe import Recipe

ATTENTION = "podium_packed"
"""Name of the packed attention in transformers' AttentionInterface; without a mask function of the same name
transformers makes no mask at all."""


CPU_TOKENS = 4096
"""Tokens of one sequence at most on the CPU, or one pair: more is no faster there, and oneDNN remembers
buffers as large as its results."""


class PackedForward:
    """The packed forward of one model, on one device; call it from one thread."""

    name = "packed"
    pads = False

    def __init__(
        self, network: Any, head: nn.Module, recipe: Recipe, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Take over `network`, whose base model is of `dtype`, and its head, made by `heads.make_head`.

        For int8 its linear layers are as they are stored, and `to_integers` is to be called first of all.
        """
        base = network.base_model
        config = base.config
        self.device = device
        self._positions = architectures.positions(base)
        self._segments = architectures.has_segments(network, told=recipe.segments)
        self._max_tokens = CPU_TOKENS if device.type == "cpu" else None
        self._score_bytes = config.num_attention_heads * (4 if dtype == torch.int8 else dtype.itemsize)
        if getattr(base, "pooler", None) is not None:
            base.pooler = None  # the head has it
        self._causal = recipe.attention == "causal"
        # a prefix's own states are no pair's, so only a state behind it may be read
        self._share = self._causal and recipe.state == "last"
        self._fixed = {"use_cache": False} if hasattr(config, "use_cache") else {}
        base.eval().requires_grad_(False).to(device)
        self._integers = dtype == torch.int8
        by_itself = device.type == "cpu" and dtype == torch.float32 and not architectures.disentangled(config)
        self._alone_above = 0 if self._integers else ALONE_ABOVE if by_itself else None
        make = None if device.type != "cpu" else Undecided if self._integers else fused
        base, kept = _prepared(base, recipe, device, make)
        self._base = base
        known = all(isinstance(layer, decoder.Layer) for layer in getattr(base, "layers", [None]))
        # on an accelerator batches are large, and their prefixes little of them
        self._prefix_cache = PrefixCache() if self._share and known and device.type == "cpu" else None
        self._reduced = Reduced(base, recipe.state, kept=kept)
        self._head = head.to(device)

    def to_integers(
        self, encodings: Sequence[Encoding], known: Mapping[str, Settled] | None = None
    ) -> dict[str, Settled]:
        """Serve linear layers in 8-bit integers from now on; return what was found of each, by its name.

        `known` is what an earlier call returned; without it the pairs are scored, and layers settled in turn.
        """
        base = self._reduced.base
        if known is None:
            found = calibration.calibrate(base, lambda: self._in_one(encodings))
        else:
            found = dict(known)
        calibration.settle(base, found)
        fusion.link(base)
        self._head = calibration.InBlocks(self._head, calibration.FEW)
        return found

    def scales_binding(self, encodings: Sequence[Encoding], *said: object) -> str:
        """Return what scales that the pairs give are bound to, `said` among it; ask before `to_integers`."""
        reads = (self._causal, self._share, self._segments, self._reduced.state)
        return scales.binding(self._reduced, encodings, *reads, *said)

    def weights_bytes(self) -> int:
        """Return the bytes of the weights in memory, once they are integers."""
        modules = [*self._reduced.modules(), *self._head.modules()]
        parameters = [*self._reduced.parameters(), *self._head.parameters()]
        return sum(parameter.nbytes for parameter in parameters) + sum(
            module.nbytes for module in modules if isinstance(module, Int8Linear | PlainLinear)
        )

    def logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits of the pairs, (n,) float32, in order."""
        scores = np.empty(len(encodings), dtype=np.float32)
        cached = None if self._prefix_cache is None else self._prefix_cache.cached
        for laid in self._sequences(encodings, cached):
            scores[laid.pairs] = self._sequence(laid, encodings, cached)
        return scores

    def _in_one(self, encodings: Sequence[Encoding]) -> None:
        """Compute all pairs in one sequence: a layer is settled on what it sees at once."""
        [laid] = sequences(encodings, None, share=self._share, single=self._integers)
        self._sequence(laid, encodings, None)  # its states are not those of the layers once settled

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Return how many tokens are computed for these pairs: prefixes once a sequence, and cached
        ones not at all.
        """
        cached = None if self._prefix_cache is None else self._prefix_cache.cached
        return sum(laid.tokens for laid in self._sequences(encodings, cached))

    def _sequences(self, encodings: Sequence[Encoding], cached: Cached | None = None) -> Iterator[Laid]:
        return sequences(
            encodings, self._max_tokens, share=self._share, single=self._integers, cached=cached or ()
        )

    def _sequence(
        self, laid: Laid, encodings: Sequence[Encoding], cached: Cached | None
    ) -> NDArray[np.float32]:
        """Return the logits of the pairs of one sequence, in its order. Without `cached` the cache of
        prefixes has no part in it.
        """
        lengths, first = np.array([len(ids) for ids in laid.ids]), len(laid.cached)
        layout = Layout(
            lengths,
            self.device,
            self._score_bytes,
            laid.prefixes,
            alone_above=self._alone_above,
            cached=first,
        )
        ids = layout.filled(np.concatenate(laid.ids[first:]))
        inputs: dict[str, Any] = {
            "input_ids": self._tensor(ids),
            "position_ids": self._tensor(self._numbered(ids, layout)),
        }
        if self._segments:
            second = np.full(len(lengths), layout.total)
            second[layout.pairs] = [encodings[index].second for index in laid.pairs]
            types = layout.filled(
                layout.positions[: layout.total] >= np.repeat(second[first:], lengths[first:])
            )
            inputs["token_type_ids"] = self._tensor(types)
        prefixes = None
        if cached is not None and (laid.cached or laid.computed):
            spans = sorted(laid.computed.items(), key=lambda one: one[1])
            rows = {key: (int(layout.starts[span]), int(layout.ends[span])) for key, span in spans}
            prefixes = PrefixStates([cached[key] for key in laid.cached], rows, fitting(laid.computed))
            inputs["prefixes"] = prefixes
        states = self._reduced(**inputs, layout=layout, causal=self._causal, **self._fixed)
        if self._prefix_cache is not None and prefixes is not None:
            self._prefix_cache.see(laid.cached, prefixes.found)
        logits: NDArray[np.float32] = self._head(states).cpu().numpy()
        return logits

    def _numbered(self, ids: NDArray[np.int64], layout: Layout) -> NDArray[np.int64]:
        """Return the position of each token, (rows,), as the model numbers them."""
        first, padding = self._positions
        if padding is None or not (uncounted := ids[: layout.total] == padding).any():
            return layout.positions + first
        counted = np.concatenate(([0], np.cumsum(~uncounted)))
        since = counted[1:] - np.repeat(counted[layout.starts], layout.lengths)
        return layout.filled(np.where(uncounted, padding, since + first - 1))

    def _tensor(self, values: NDArray[np.int64]) -> Tensor:
        """Return (rows,) integers as the (1, rows) tensor that embeddings take."""
        return placed(values, self.device).unsqueeze(0)


def _prepared(base: Any, recipe: Recipe, device: torch.device, make: Fuse | None) -> tuple[Any, bool]:
    """Return a base model that takes packed pairs, and whether its last layer computes only what is read."""
    first = recipe.state == "first"
    if architectures.disentangled(base.config):
        base, kept = PackedDeberta(base, firsts=first).eval().requires_grad_(False), first
    else:
        base.set_attn_implementation(ATTENTION)
        layers = architectures.bert_layers(base) if first else None
        if layers is not None:
            keep_firsts(layers)
        end = None if recipe.state == "mean" else recipe.state
        kept = layers is not None or decoder.pack(
            base, device, make, causal=recipe.attention == "causal", end=end
        )
    if make is not None:
        fusion.fuse(base, make)
    return base, kept


class Reduced(nn.Module):
    """A base model and what is read of it: (1, rows) tokens of p pairs in, (p, hidden) float32 states out.

    `kept`: `base` returns the one state of each pair that is read by itself.
    """

    def __init__(self, base: Any, state: str, *, kept: bool) -> None:
        super().__init__()
        self.base = base
        self.state = state
        self.kept = kept

    def forward(self, input_ids: Tensor, *, layout: Layout, **kwargs: Any) -> Tensor:
        """Run the base model and reduce its states pair by pair."""
        states: Tensor = self.base(input_ids, layout=layout, **kwargs).last_hidden_state[0]
        if self.state == "mean":
            states = layout.means(states)
        elif not self.kept:
            states = states[layout.firsts if self.state == "first" else layout.lasts]
        return states.float()


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    layout: Layout,
    causal: bool,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    rules: list[Rule] | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend inside each pair: (1, heads, rows, d) each → (1, rows, heads, d), as transformers asks.

    `rules` takes down by which rule. Raises TypeError for an argument that would change attention and is not
    known here.
    """
    given = {name for name, value in others.items() if value is not None and value is not False}
    if unknown := sorted(given - _MEANINGLESS):
        raise TypeError(
            f"{type(module).__name__} attends with {', '.join(unknown)}, which packing does not know"
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    rule = Rule(scaling, _window(module, sliding_window, causal=causal), causal, softcap)
    if rules is not None:
        rules.append(rule)
    return attend(query[0], key[0], value[0], layout, rule).unsqueeze(0), None


def _window(module: Any, said: int | None, *, causal: bool) -> int | None:
    """Return how many tokens a token sees on either side, itself included.

    In both directions transformers' masks have the window's own distance too. ModernBERT says it so itself.
    """
    if said is None or causal or module.config.model_type not in architectures.DECODERS:
        return said
    return said + 1


_MEANINGLESS = frozenset({"dropout", "is_causal", "position_ids", "use_cache"})
"""Arguments that say nothing about a packed batch: `causal` is the recipe's, positions are in the states."""

AttentionInterface.register(ATTENTION, packed_attention)

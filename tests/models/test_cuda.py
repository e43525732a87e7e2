"""The packed forward on CUDA without a device: tensors that know devices, dtypes and shapes, and no numbers.

What a device computes is compared by the tests that `needs_cuda` marks. These need none. With a build of
torch for CUDA, which the image `service` has, the tensors are torch's fake ones and lie on `cuda:0`; with
another one they lie on the device `meta`, where fewer operations are checked.
"""

from contextlib import nullcontext

import pytest
import torch
from models.networks import DECODERS, SHAPES, build, encodings, parts, prefixed
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from podium.models.attention import attend as attention
from podium.models.network import rotary
from podium.models.network.packed import PackedForward

BUILT = torch.backends.cuda.is_built()
DEVICE = torch.device("cuda:0" if BUILT else "meta")
LENGTHS = [3, 130, 17, 64, 300]
CAUSAL = {"attention": "causal", "state": "last"}
ENCODERS = "ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base", "gte-reranker-modernbert-base"
MODELS = [
    *(pytest.param({**SHAPES[name], "num_hidden_layers": 2}, {}, id=name) for name in ENCODERS),
    # GPT-2's forward reads its tokens, to warn of padding, and there are none
    *(pytest.param(DECODERS[name], CAUSAL, id=name) for name in sorted(DECODERS) if name != "gpt2"),
    pytest.param(DECODERS["llama"], {"state": "mean"}, id="llama in both directions"),
]


class Computed(Exception):
    """The logits of a batch are there."""


def move(module, *, to):
    """Do what `module.to` does, for fake tensors, which it cannot swap: weights and buffers, in place."""
    device, dtype = (to, None) if isinstance(to, torch.device) else (None, to)
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    kept = dtype if tensor.is_floating_point() else None
                    held[name] = tensor.detach().to(device=device, dtype=kept)
                    if held is part._parameters:
                        held[name] = nn.Parameter(held[name], requires_grad=False)
    return module


@pytest.mark.parametrize(("fields", "recipe"), MODELS)
@pytest.mark.parametrize(
    ("dtype", "varlen"), [(torch.bfloat16, True), (torch.float16, True), (torch.float32, False)], ids=str
)
def test_a_batch_goes_through_to_float32_logits_on_the_device(fields, recipe, dtype, varlen, monkeypatch):
    monkeypatch.setattr(attention, "has_varlen", lambda _, rule: varlen and rule.softcap is None)
    monkeypatch.setattr(rotary, "agree", lambda *_: True)  # there are no numbers to compare
    pairs = encodings(LENGTHS) + prefixed([9, 40, 41, 3], 30)
    taken, logits = parts(build(fields), dtype, **recipe), []
    with FakeTensorMode(allow_non_fake_inputs=True) if BUILT else nullcontext():
        if BUILT:
            monkeypatch.setattr(nn.Module, "to", lambda module, to: move(module, to=to))
            monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # there is no driver
        forward = PackedForward(*taken, DEVICE, dtype)
        head = forward._head

        def on_the_device(states):
            logits.append(head(states))
            raise Computed  # numpy would want numbers

        forward._head = on_the_device
        with pytest.raises(Computed):
            forward.logits(pairs)
    [found] = logits
    assert (found.shape, found.dtype, found.device) == ((len(pairs),), torch.float32, DEVICE)

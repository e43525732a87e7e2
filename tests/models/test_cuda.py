"""The packed forward on CUDA without a device: torch's fake tensors know devices, dtypes and shapes.

What a device computes is compared by the tests that `needs_cuda` marks. These need none, but a build of torch
for CUDA: `pip install torch` brings it on most machines, and the image `service` has it.
"""

import pytest
import torch
from models.networks import encodings, network, parts
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from podium.models.attention import attend as attention
from podium.models.network.packed import PackedForward

pytestmark = pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="needs a CUDA build of torch")

CUDA = torch.device("cuda:0")
LENGTHS = [3, 130, 17, 64, 300]


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


@pytest.mark.parametrize(
    "shape", ["ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base", "gte-reranker-modernbert-base"]
)
@pytest.mark.parametrize(
    ("dtype", "varlen"), [(torch.bfloat16, True), (torch.float16, True), (torch.float32, False)], ids=str
)
def test_a_batch_goes_through_to_float32_logits_on_the_device(shape, dtype, varlen, monkeypatch):
    monkeypatch.setattr(attention, "has_varlen", lambda *_: varlen)
    model, logits = network(shape, num_hidden_layers=2), []
    with FakeTensorMode(allow_non_fake_inputs=True):
        monkeypatch.setattr(nn.Module, "to", lambda module, to: move(module, to=to))
        forward = PackedForward(*parts(model, dtype), CUDA, dtype)

        head = forward._head

        def on_the_device(states):
            logits.append(head(states))
            return logits[-1]

        forward._head = on_the_device
        with pytest.raises(RuntimeError, match="numpy"):
            forward.logits(encodings(LENGTHS))
    [found] = logits
    assert (found.shape, found.dtype, found.device) == ((len(LENGTHS),), torch.float32, CUDA)

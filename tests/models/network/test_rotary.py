"""Norms and rotation give what transformers' own give, whatever the blocks."""

import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

from podium.models.network import rotary
from podium.models.network.rotary import RootMeanSquare, Turned, interleaved, root_mean_square

BOUND = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def dtype(request):
    return request.param


@pytest.fixture(params=[1, 1 << 9, 1 << 18], ids=["a row", "several blocks", "one block"], autouse=True)
def block(request, monkeypatch):
    monkeypatch.setattr(rotary, "_BLOCK_NUMBERS", request.param)


def norm_of(kind, size, dtype):
    norm = kind(size, eps=1e-6).to(dtype).requires_grad_(False)
    norm.weight.uniform_(-0.5, 1.5, generator=torch.Generator().manual_seed(1))
    return norm


def difference(got, wanted):
    return float((got.float() - wanted.float()).abs().max() / wanted.float().abs().max())


@pytest.mark.parametrize("kind", [Qwen3RMSNorm, GemmaRMSNorm])
def test_a_norm_is_known_by_what_it_does(kind, dtype):
    norm = norm_of(kind, 48, dtype)
    known = root_mean_square(norm)
    assert isinstance(known, RootMeanSquare)
    x = torch.randn(37, 48).to(dtype) * 30
    assert difference(known(x), norm(x)) < BOUND[dtype]


def test_another_norm_is_not_taken_for_one():
    assert root_mean_square(torch.nn.LayerNorm(48)) is None
    assert root_mean_square(torch.nn.Identity()) is None


@pytest.mark.parametrize("normed", [False, True])
def test_queries_and_keys_are_turned_as_qwen_turns_them(dtype, normed):
    torch.manual_seed(2)
    query, key = torch.randn(37, 4, 16).to(dtype), torch.randn(37, 2, 16).to(dtype)
    angles = torch.randn(37, 8).repeat(1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    norms = [norm_of(Qwen3RMSNorm, 16, dtype), norm_of(Qwen3RMSNorm, 16, dtype)] if normed else []
    q, k = (norms[0](query), norms[1](key)) if normed else (query, key)
    wanted = apply_rotary_pos_emb(q[None], k[None], cos[None], sin[None], unsqueeze_dim=2)
    known = [root_mean_square(norm) for norm in norms]
    turned = Turned(*zip(known, (4, 2)[: len(known)], strict=True))
    product = torch.cat((query, key, value := torch.randn(37, 2, 16).to(dtype)), 1)
    product[:, :6] = product[:, :6, interleaved(16)]
    got = turned(product[:, :6], cos, sin)
    assert difference(got[:, :4], wanted[0][0][..., interleaved(16)]) < BOUND[dtype]
    assert difference(got[:, 4:], wanted[1][0][..., interleaved(16)]) < BOUND[dtype]
    assert torch.equal(product[:, :6], got)
    assert torch.equal(product[:, 6:], value)


def test_numbers_that_are_turned_together_stand_side_by_side():
    assert interleaved(8).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]

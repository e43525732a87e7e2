"""Each way to attend gives what the definition of attention gives, pair by pair."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from models.networks import needs_cuda
from torch.nn.functional import scaled_dot_product_attention

from podium.models import layout
from podium.models.attention import attend as attention
from podium.models.attention.attend import attend, attend_firsts
from podium.models.layout import Layout

HEADS, WIDTH = 4, 16
LENGTHS = [1, 5, 17, 40, 41, 90, 200]
BOUND = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def states(lengths, dtype, scale=1.0):
    """Return random query, key and value, (heads, t, d) each, as views of one product."""
    torch.manual_seed(1)
    product = torch.randn(sum(lengths), 3, HEADS, WIDTH)
    product[:, 0] *= scale
    return product.to(dtype).permute(1, 2, 0, 3)


def attended(lengths, dtype, scale=1.0, window=None):
    query, key, value = states(lengths, dtype, scale)
    laid = Layout(np.array(lengths), torch.device("cpu"), HEADS * dtype.itemsize)
    return attend(query, key, value, laid, scaling=0.25, window=window)


def expected(lengths, dtype, scale=1.0, window=None):
    """Return softmax(query · key · scaling) · value of each pair, in float64."""
    results, start = [], 0
    query, key, value = states(lengths, dtype, scale).double()
    for length in lengths:
        q, k, v = (x[:, start : start + length] for x in (query, key, value))
        logits = q @ k.transpose(1, 2) * 0.25
        if window is not None:
            places = torch.arange(length)
            logits[:, (places[:, None] - places).abs() >= window] = -torch.inf
        results.append((logits.softmax(-1) @ v).transpose(0, 1))
        start += length
    return torch.cat(results)


def close(got, wanted, dtype):
    return got.shape == wanted.shape and float((got - wanted).abs().max()) < BOUND[dtype] * float(
        wanted.abs().max()
    )


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request):
    return request.param


@pytest.mark.parametrize("window", [None, 7, 65])
def test_attention_stays_inside_each_pair_and_its_window(dtype, window):
    assert close(attended(LENGTHS, dtype, window=window), expected(LENGTHS, dtype, window=window), dtype)


@pytest.mark.parametrize("lengths", [LENGTHS, [1], [700], [16] * 20], ids=repr)
def test_the_first_token_of_each_pair_attends_as_it_does_beside_the_others(dtype, lengths):
    assert close(firsts_attended(lengths, dtype), first_of(expected(lengths, dtype), lengths), dtype)


def firsts_attended(lengths, dtype, device="cpu"):
    query, key, value = (x.transpose(0, 1) for x in states(lengths, dtype).to(device))
    laid = Layout(np.array(lengths), torch.device(device), HEADS * dtype.itemsize)
    return attend_firsts(query[laid.firsts], key, value, laid, scaling=0.25)


def first_of(attended, lengths):
    """Return the rows of the first tokens."""
    return attended[np.cumsum([0, *lengths[:-1]])]


def documented_varlen_attn(
    query, key, value, starts, key_starts, longest, longest_key, *, scale, window_size=(-1, -1)
):
    """Do what torch documents of its `varlen_attn`, which itself runs on CUDA alone: (t, heads, d) each."""
    assert starts.dtype == key_starts.dtype == torch.int32
    assert (longest, longest_key) == (max(starts.diff()), max(key_starts.diff()))
    left, right = window_size
    results = []
    for (start, end), (key_start, key_end) in zip(
        pairwise(starts.tolist()), pairwise(key_starts.tolist()), strict=True
    ):
        q = query[start:end].transpose(0, 1)
        k, v = (x[key_start:key_end].transpose(0, 1) for x in (key, value))
        ahead = torch.arange(key_end - key_start) - torch.arange(end - start)[:, None]  # key from query
        seen = ((left < 0) | (ahead >= -left)) & ((right < 0) | (ahead <= right))
        results.append(scaled_dot_product_attention(q, k, v, seen, scale=scale).transpose(0, 1))
    return torch.cat(results)


@pytest.mark.parametrize("window", [None, 7, 65])
def test_variable_length_attention_is_asked_for_the_same(dtype, window, monkeypatch):
    monkeypatch.setattr(attention, "varlen_attn", documented_varlen_attn)
    laid = Layout(np.array(LENGTHS), torch.device("cpu"), HEADS * dtype.itemsize)
    got = attention._attend_varlen(*states(LENGTHS, dtype), laid, 0.25, window)
    assert close(got, expected(LENGTHS, dtype, window=window), dtype)


def test_variable_length_attention_is_asked_for_the_same_of_first_tokens(dtype, monkeypatch):
    monkeypatch.setattr(attention, "varlen_attn", documented_varlen_attn)
    monkeypatch.setattr(attention, "_has_varlen", lambda _: True)
    assert close(firsts_attended(LENGTHS, dtype), first_of(expected(LENGTHS, dtype), LENGTHS), dtype)


@needs_cuda
def test_first_tokens_attend_on_cuda_as_they_do_here(dtype):
    got = firsts_attended(LENGTHS, dtype, "cuda").cpu()
    assert close(got, first_of(expected(LENGTHS, dtype), LENGTHS), dtype)


@pytest.mark.parametrize("window", [None, 7, 65])
@needs_cuda
def test_attention_on_cuda_is_the_same(dtype, window):
    query, key, value = states(LENGTHS, dtype).to("cuda")
    laid = Layout(np.array(LENGTHS), torch.device("cuda"), HEADS * dtype.itemsize)
    got = attend(query, key, value, laid, scaling=0.25, window=window)
    assert close(got.cpu(), expected(LENGTHS, dtype, window=window), dtype)


@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("room", [2_000, 200_000], ids=["cut by queries", "cut by heads"])
def test_one_long_pair_is_computed_in_parts(dtype, room, window, monkeypatch):
    monkeypatch.setattr(attention, "GROUP_BYTES", room)
    monkeypatch.setattr(layout, "GROUP_BYTES", room)
    assert close(attended([190], dtype, window=window), expected([190], dtype, window=window), dtype)


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_logits_too_large_for_plain_exponentials_are_still_attended(scale, monkeypatch):
    lengths = [9, 17, 30]
    query, key, value = states(lengths, torch.float32, scale)
    laid = Layout(np.array(lengths), torch.device("cpu"), 16)
    out = torch.empty(sum(lengths), HEADS, WIDTH)
    assert not attention._attend_group(query, key, value, out, laid.groups[0], 0.25, None)
    assert close(
        attended(lengths, torch.float32, scale), expected(lengths, torch.float32, scale), torch.float32
    )


def test_logits_that_all_vanish_are_still_attended():
    query, key, value = states([20], torch.float32)
    query = torch.full_like(query, 40.0)
    key = torch.full_like(key, -40.0)
    laid = Layout(np.array([20]), torch.device("cpu"), 16)
    got = attend(query, key, value, laid, scaling=0.25, window=None)
    # all keys are alike, so each token sees the mean
    assert torch.allclose(got, value.mean(1).expand(20, HEADS, WIDTH), atol=1e-5)

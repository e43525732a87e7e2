"""Scales are read from the file beside a model, or not at all: never damaged ones, never another model's."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from podium.models.base import Encoding
from podium.models.linear import scales
from podium.models.linear.calibration import Settled
from podium.models.linear.int8 import Reading
from podium.models.linear.scales import NAME, binding, read, write

FOUND = {
    "layer.0.product": Settled(Reading(-0.1 / 3, 2.0 / 3), 0.0125),
    "layer.1": Settled(Reading(0.0, 1e-7, torch.linspace(-1, 1, 6), torch.linspace(0.1, 9, 6)), float("nan")),
}


def encoding(*ids: int) -> Encoding:
    return Encoding(np.array(ids, np.int32), 1, False, len(ids))


def model(value: float = 0.0) -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Embedding(300, 4), nn.Linear(4, 200), nn.LayerNorm(200))
    with torch.no_grad():
        made[1].weight[0, 0] += value
    return made


def test_what_was_written_is_read_to_the_last_bit(tmp_path):
    write(tmp_path, FOUND, "a model")
    found = read(tmp_path, "a model")
    assert list(found) == list(FOUND)
    plain, moved = found.values()
    assert plain == FOUND["layer.0.product"]
    assert (moved.reading.low, moved.reading.high) == (0.0, 1e-7)
    assert torch.equal(moved.reading.shift, FOUND["layer.1"].reading.shift)
    assert torch.equal(moved.reading.factor, FOUND["layer.1"].reading.factor)
    assert not moved.near
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_without_a_file_there_are_none(tmp_path):
    assert read(tmp_path, "a model") is None


def test_those_of_another_model_are_left_aside_and_the_log_says_so(tmp_path, caplog):
    write(tmp_path, FOUND, "a model")
    with caplog.at_level(logging.INFO, "podium.models.linear.scales"):
        assert read(tmp_path, "another") is None
    assert "is left aside: it was written for other weights, settings, or another version" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "no header", "empty", "one bit", "a folder's worth of text"])
def test_a_damaged_file_is_left_aside_with_a_warning(tmp_path, damage, caplog):
    write(tmp_path, FOUND, "a model")
    path = tmp_path / NAME
    whole = path.read_bytes()
    last = whole[:-1] + bytes([whole[-1] ^ 1])
    path.write_bytes(
        {"cut": whole[:-4], "no header": whole[8:], "empty": b"", "one bit": last}.get(damage, b"x" * 9999)
    )
    assert read(tmp_path, "a model") is None
    (record,) = caplog.records
    assert (record.levelname, "is damaged and left aside" in record.getMessage()) == ("WARNING", True)


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    write(tmp_path, FOUND, "a model")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scales.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, {}, "another")
    assert read(tmp_path, "a model") is not None
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_scales_are_bound_to_weights_pairs_and_the_way_of_reading():
    pairs = [encoding(1, 2, 3), encoding(4)]
    bound = binding(model(), pairs, "first")
    assert binding(model(), [encoding(1, 2, 3), encoding(4)], "first") == bound
    others = [
        binding(model(1e-6), pairs, "first"),
        binding(model(), [encoding(1, 2, 3, 4)], "first"),
        binding(model(), [encoding(1, 2), encoding(3, 4)], "first"),
        binding(model(), pairs, "last"),
        binding(nn.ModuleDict({"0": model()}), pairs, "first"),
    ]
    assert len({bound, *others}) == 6


def test_another_version_takes_none_of_an_earlier_one_s(monkeypatch):
    bound = binding(model(), [])
    monkeypatch.setattr(scales, "VERSION", scales.VERSION + 1)
    assert binding(model(), []) != bound

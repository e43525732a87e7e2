"""From settings to a loaded model."""

import logging
import re
from functools import partial
from pathlib import Path

import pytest
from hub import Hub

from podium import loading
from podium.settings import Settings
from podium.weights.source import BUILTIN


def test_a_model_that_is_downloaded_for_serving_tells_in_the_log_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "PROGRESS_S", 0.0)
    caplog.set_level(logging.INFO, "podium.loading")
    with Hub({path.name: path.read_bytes() for path in BUILTIN.iterdir()}) as hub:
        monkeypatch.setattr(loading, "fetch", partial(loading.fetch, endpoint=hub.endpoint))
        loading.load_model(Settings(model="org/model", cache_dir=str(tmp_path), device="cpu"))
    told = [re.findall(r"fetching org/model: (\d+) of 20 MB", line) for line in caplog.messages]
    assert all(told)
    assert [told[0], told[-1]] == [["0"], ["20"]]

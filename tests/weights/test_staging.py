import shutil

import pytest

from podium.errors import Reason, TemporaryStartError
from podium.weights.marker import Marker
from podium.weights.staging import check_space, finish


def test_a_model_that_does_not_fit_the_disk_is_refused_with_the_numbers(tmp_path):
    (tmp_path / "half").write_bytes(b"x" * 1000)
    with pytest.raises(
        TemporaryStartError, match=r"bytes, 1000 are there and \d+ are free on .*; free space"
    ) as error:
        check_space(tmp_path, 10**18, None)
    assert (error.value.reason, error.value.bytes) == (Reason.NO_SPACE, 10**18)


def test_what_is_downloaded_already_needs_no_space(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with (tmp_path / "sparse").open("wb") as file:  # takes no room on the disk, so that nothing else changes
        file.truncate(2 * free)
    check_space(tmp_path, 2 * free + 1, None)


def test_the_smaller_of_disk_and_limit_counts(tmp_path):
    check_space(tmp_path, 10, 10)
    with pytest.raises(TemporaryStartError, match="the model has 11 bytes, the limit is 10; raise it"):
        check_space(tmp_path, 11, 10)


def test_a_folder_of_a_hub_under_a_name_of_ours_holds_up_no_new_download(tmp_path):
    damaged, outside = tmp_path / "damaged", tmp_path / "outside"
    (damaged / ".podium-folder").mkdir(parents=True)
    outside.mkdir()
    (damaged / ".podium-linked").symlink_to(outside)
    (damaged / ".podium-int8").write_bytes(b"scales of the model that goes")
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "config.json").write_bytes(b"{}")
    finish(staged, damaged, Marker(uri="hf://org/model", revision=None, files={"config.json": "0" * 64}))
    assert sorted(path.name for path in damaged.iterdir()) == [".podium-complete", "config.json"]
    assert outside.is_dir()

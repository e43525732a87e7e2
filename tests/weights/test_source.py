import pytest

from podium.errors import PermanentStartError, Reason
from podium.weights.source import BUILTIN, Source, parse


def test_builtin_is_the_model_in_the_wheel():
    assert parse("builtin") == Source("builtin", folder=BUILTIN)
    assert (BUILTIN / "model.safetensors").is_file()


@pytest.mark.parametrize("uri", ["org/name", "hf://org/name"])
def test_both_spellings_of_a_hub_model_are_one_source(uri):
    assert parse(uri) == Source("hf://org/name", repository="org/name")


def test_a_folder_that_exists_wins_over_a_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    source = parse("org/name")
    assert source.repository is None
    assert source.folder is not None
    assert source.folder.samefile("org/name")
    assert parse("hf://org/name").repository == "org/name"
    assert parse(f"file://{tmp_path}").folder == tmp_path


@pytest.mark.parametrize("uri", ["/no/such/folder", "./none", "../none", "~/none/such", "file:///none"])
def test_a_path_without_a_folder_is_not_looked_up_on_a_hub(uri):
    with pytest.raises(
        PermanentStartError, match=r"there is no folder .*none|there is no folder /no/such/folder"
    ):
        parse(uri)


@pytest.mark.parametrize(
    "uri", ["", "name", "a/b/c", "s3://bucket/model", "hf://name", "org/na me", "org/näme", "-x/y"]
)
def test_anything_else_is_refused_with_what_would_do(uri):
    with pytest.raises(
        PermanentStartError, match=r"give `builtin`, a folder, or a hub's `org/name`"
    ) as error:
        parse(uri)
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert f"`{uri}`" in error.value.message

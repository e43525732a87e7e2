"""From a folder to its recipe: the setting, the modular layout, the table of families, the plain cross-encoder."""

from podium.models.folder import Folder, refused
from podium.models.recipe import Recipe


def recipe_of(folder: Folder, family: str = "auto", uri: str = "") -> Recipe:
    """Return how the model in a folder scores.

    `family` is `auto` or the name of a row; `uri` is the model's name, evidence where a folder has no other.
    Raises PermanentStartError with the reason where the folder cannot be scored as its reference does.
    """
    raise refused(f"no family knows `{folder.path}` (family {family}, model {uri})")

"""What a row of the table of families is."""

from collections.abc import Callable
from typing import NamedTuple

from podium.models.folder import Folder
from podium.models.recipe import Recipe


class Family(NamedTuple):
    """A family of checkpoints that do not say themselves how they score."""

    name: str
    """What the setting `family` takes."""
    models: str
    """Which models, for people."""
    evidence: str
    """How they are recognised, for people."""
    scored: str
    """What makes the score, for people."""
    recognised: Callable[[Folder, str], str | None]
    """A folder and the model's name (`owner/name`, or what the user gave) → the evidence found, or None."""
    recipe: Callable[[Folder, str], Recipe]
    """A folder and the evidence → how it scores; raises PermanentStartError where the folder contradicts."""
    own_class: bool = False
    """Whether the evidence is a class or tensors of this family alone: no chat template outweighs them."""

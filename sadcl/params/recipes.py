"""Where recipes are: the project's own, and those that come with the package."""

from pathlib import Path

from sadcl.errors import SadclError

RECIPES = Path("recipes")
PACKAGED = Path(__file__).parent.parent / "starter" / "recipes"


def known_recipes(root: Path = Path(".")) -> dict[str, Path]:
    """The file of each recipe, by name; a project's own comes before the package's of that name."""
    found = {path.stem: path for folder in (PACKAGED, root / RECIPES) for path in folder.glob("*.yaml")}
    return dict(sorted(found.items()))


def recipe(name: str, root: Path = Path(".")) -> Path:
    """The file of a recipe.

    Raises:
        SadclError: there is none of that name.
    """
    known = known_recipes(root)
    if name not in known:
        raise SadclError(f"There is no recipe {name!r}", where=root / RECIPES, fix=f"Choose one of {', '.join(known)}")
    return known[name]

"""Recipes of a project and of the package, by name."""

from pathlib import Path

from sadcl.errors import SadclError

RECIPES = Path("recipes")
PACKAGED = Path(__file__).parent.parent / "starter" / "recipes"


def known_recipes(root: Path = Path(".")) -> dict[str, Path]:
    """File of each recipe by name; a recipe of the project replaces the package's of the same name."""
    paths = {path.stem: path for folder in (PACKAGED, root / RECIPES) for path in folder.glob("*.yaml")}
    return dict(sorted(paths.items()))


def recipe(name: str, root: Path = Path(".")) -> Path:
    """File of a recipe.

    Raises:
        SadclError: there is no recipe of this name.
    """
    known = known_recipes(root)
    if name not in known:
        raise SadclError(f"There is no recipe {name!r}", where=root / RECIPES, fix=f"Choose one of {', '.join(known)}")
    return known[name]

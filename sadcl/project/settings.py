"""Selection of a recipe as the settings of a project."""

from sadcl import files, params


def use_recipe(name: str) -> list[str]:
    """Write a recipe to params.yaml; settings that are in no recipe are saved to another file first.

    Args:
        name: a recipe of the project or of the package, without ``.yaml``.

    Returns:
        What was done, one sentence per line.

    Raises:
        SadclError: this folder is not a project, there is no such recipe, or it is invalid.
    """
    from sadcl import pipeline

    pipeline.require_project()
    source = params.recipe(name)
    params.parse(params.read_settings(source), where=source)
    settings = source.read_text(encoding="utf-8")
    current = params.FILE.read_text(encoding="utf-8") if params.FILE.exists() else None
    if current == settings:
        return [f"params.yaml is the recipe {name} already"]
    lines = []
    recipes = {path.read_text(encoding="utf-8") for path in params.known_recipes().values()}
    if current is not None and current not in recipes:
        backup = params.FILE.with_name(f"params.{files.digest_of(current)[:8]}.yaml")
        files.write_text(backup, current)
        lines.append(f"Saved your own settings to {backup}")
    files.write_text(params.FILE, settings)
    return [*lines, f"params.yaml is now the recipe {name}"]

"""Choice of a recipe as the settings of a project."""

from sadcl import files, params


def use_recipe(name: str) -> list[str]:
    """Write a recipe to params.yaml; settings that stand in no recipe are kept beside it.

    Returns:
        What was done, a sentence a line.

    Raises:
        SadclError: there is no project or no such recipe here, or it does not hold together.
    """
    from sadcl import pipeline

    pipeline.require_project()
    source = params.recipe(name)
    params.parse(params.read_settings(source), where=source)
    wanted = source.read_text(encoding="utf-8")
    present = params.FILE.read_text(encoding="utf-8") if params.FILE.exists() else wanted
    if present == wanted and params.FILE.exists():
        return [f"params.yaml is the recipe {name} already"]
    said = []
    if present not in {path.read_text(encoding="utf-8") for path in params.known_recipes().values()}:
        kept = params.FILE.with_name(f"params.{files.digest_of(present)[:8]}.yaml")
        files.write_text(kept, present)
        said.append(f"Your own settings are kept in {kept}")
    files.write_text(params.FILE, wanted)
    return [*said, f"params.yaml is now the recipe {name}"]

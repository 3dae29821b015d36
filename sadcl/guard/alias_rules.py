"""Names that aliases may have: no two of them look alike, and each model has its own."""

import re

from sadcl.registry import schema

PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
OURS = (schema.CHAMPION, schema.PREVIOUS, schema.CHALLENGER)
IN_PRODUCTION = (schema.CHAMPION, schema.PREVIOUS)
LOOKALIKES = str.maketrans({"0": "o", "1": "i", "l": "i", "3": "e", "5": "s", ".": "", "_": "", "-": ""})
"""Characters that a reader might take for others."""


def problem(model: str, alias: str) -> str | None:
    """Why a model can't have an alias: a reader might take it for another, or another model has it; None if it can.

    MLflow would store "Champion" or a Cyrillic spelling beside "champion".
    """
    if not PLAIN.fullmatch(alias):
        return f"The alias {alias!a} has other characters than small ASCII letters, digits, '.', '_' and '-'"
    if schema.protected(model) and alias not in IN_PRODUCTION:
        return f"{model} has the aliases {' and '.join(IN_PRODUCTION)}, and no others"
    if not schema.protected(model) and alias == schema.CHAMPION:
        return f"The alias {schema.CHAMPION} is for versions of {schema.production(model)}"
    similar = [own for own in OURS if alias != own and _skeleton(alias) == _skeleton(own)]
    return f"The alias {alias} looks like {similar[0]}" if similar else None


def _skeleton(alias: str) -> str:
    return alias.translate(LOOKALIKES).replace("rn", "m").replace("vv", "w")

"""The search space: dimensions from ``params.yaml``, present values, and writing of values into a settings file."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sadcl import files, params
from sadcl.errors import SadclError

if TYPE_CHECKING:
    import optuna

_SCALAR = re.compile(r""""[^"]*"|'[^']*'|[^\s,\]}#]+""")

SEARCHED = "train"
"""The section that a search may change: stage 2, since all trials share stage 1."""


def present(settings: params.Params, root: Path = Path()) -> dict[str, Any]:
    """Read the present values of all dimensions from ``params.yaml``, by ``section.key``.

    Raises:
        SadclError: a dimension is no setting of stage 2, or has neither choices nor bounds.
    """
    raw = params.read_settings(root / params.FILE)
    for key, dimension in settings.tune.space.items():
        if key.partition(".")[0] != SEARCHED:
            raise SadclError(
                f"The space names {key!r}, but trials share everything before stage 2",
                where="tune.space",
                fix=f"Search settings of {SEARCHED} only",
            )
        if dimension.choices is None and (dimension.low is None or dimension.high is None):
            raise SadclError(
                f"The space of {key} has neither choices nor low and high", where="tune.space", fix="Give them"
            )
        with_values(raw, {key: None})
    return {key: raw[SEARCHED][key.partition(".")[2]] for key in settings.tune.space}


def suggest(trial: "optuna.Trial", key: str, dimension: params.Range) -> Any:
    """Suggest a value for one dimension; bounds that are whole numbers, the upper one above 1, give whole numbers."""
    if dimension.choices is not None:
        return trial.suggest_categorical(key, list(dimension.choices))
    low, high = float(dimension.low or 0), float(dimension.high or 0)
    if low.is_integer() and high.is_integer() and not dimension.log and high > 1:
        return trial.suggest_int(key, int(low), int(high))
    return trial.suggest_float(key, low, high, log=dimension.log)


def with_values(raw: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Copy settings with some values replaced, such as ``{"train.lr": 1e-3}``.

    Raises:
        SadclError: there is no such setting.
    """
    value = {name: dict(section) if isinstance(section, dict) else section for name, section in raw.items()}
    for key, new in chosen.items():
        section, _, name = key.partition(".")
        if not isinstance(value.get(section), dict) or name not in value[section]:
            raise SadclError(
                f"The space names {key!r}, which is no setting",
                where="tune.space",
                fix="Write section.key, such as train.lr",
            )
        value[section][name] = new
    return value


def write_values(source: Path, target: Path, values: Mapping[str, Any]) -> None:
    """Copy a settings file with some values replaced; every other byte stays.

    Raises:
        SadclError: a value is written in a way that can't be replaced.
    """
    from ruamel.yaml import YAML

    text = source.read_text(encoding="utf-8")
    lines, places = text.splitlines(keepends=True), YAML().load(text)
    for key, value in values.items():
        section, _, name = key.partition(".")
        line, column = places[section].lc.value(name)
        before, rest = lines[line][:column], lines[line][column:]
        lines[line] = before + _SCALAR.sub(_as_yaml(value).replace("\\", r"\\"), rest, count=1)
    expected = with_values(params.read_settings(source), values)
    result = "".join(lines)
    # the text is edited by position, so what it means now is compared with what it should mean
    if yaml.safe_load(result) != expected:
        raise SadclError(
            "The values can't be written into this file", where=source, fix="Write each value on its own line"
        )
    params.parse(expected, where=target)
    files.write_text(target, result)


def _as_yaml(value: Any) -> str:
    """Write a value so that YAML 1.1 and 1.2 read it equally, to the last bit."""
    if not isinstance(value, float):
        return json.dumps(value)
    mantissa, exponent, power = repr(value).partition("e")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def describe(values: Mapping[str, Any]) -> str:
    """Format values for a line of output."""
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )

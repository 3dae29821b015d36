"""The search space: dimensions from ``params.yaml``, present values, and writing of values into a settings file."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import yaml

from sadcl import files, params
from sadcl.errors import SadclError

if TYPE_CHECKING:
    import optuna

_SCALAR = re.compile(r""""[^"]*"|'[^']*'|[^\s,\]}#]+""")

SEARCHED = "train"
"""The section that a search may change: stage 2, since all trials share stage 1."""


def present(settings: params.Params, root: Path = Path()) -> dict[str, Any]:
    """Present values of all dimensions of the search, by ``section.key``.

    Raises:
        SadclError: a dimension is no setting of stage 2 in ``params.yaml``, or Optuna could not draw its values.
    """
    raw, values = params.read_settings(root / params.FILE), dict[str, Any]()
    for key, dimension in settings.tune.space.items():
        if key.partition(".")[0] != SEARCHED:
            raise SadclError(
                f"The space names {key!r}, but trials share everything before stage 2",
                where="tune.space",
                fix=f"Search settings of {SEARCHED} only",
            )
        # for its error alone: a name that is no setting
        with_values(raw, {key: None})
        # as it is parsed: YAML 1.1 reads 1e-3 as a text
        values[key] = getattr(params.section(settings, SEARCHED), key.partition(".")[2])
        _require_drawable(key, dimension, values[key])
    return values


def _require_drawable(key: str, dimension: params.Range, value: Any) -> None:
    """Check what Optuna checks only inside a trial: bounds, and the present value, which is the first trial's."""
    low, high = dimension.low, dimension.high
    if dimension.choices is not None:
        if value in dimension.choices:
            return
        problem, fix = f"The choices of {key} lack its present value {value!r}", "Add it to the choices"
    elif low is None or high is None:
        problem, fix = f"The space of {key} has neither choices nor low and high", "Give them"
    elif isinstance(value, bool) or not isinstance(value, int | float):
        problem, fix = f"{key} has a range, but its present value {value!r} is no number", "Give choices, or a number"
    # false for NaN and infinity too
    elif not 0 <= high - low < math.inf:
        problem, fix = f"The range of {key} goes from {low:g} to {high:g}", "Set low below high"
    elif dimension.log and low <= 0:
        problem, fix = f"The range of {key} is logarithmic, but begins at {low:g}", "Set low above 0, or log to false"
    elif _is_whole(key) and not (low.is_integer() and high.is_integer()):
        problem, fix = f"The range of {key}, a whole number, has fractions as bounds", "Set whole numbers"
    else:
        return
    raise SadclError(problem, where="tune.space", fix=fix)


def suggest(trial: "optuna.Trial", key: str, dimension: params.Range) -> Any:
    """Suggest a value for one dimension: a choice, or a whole number or fraction as the setting's type is."""
    if dimension.choices is not None:
        return trial.suggest_categorical(key, list(dimension.choices))
    low, high = float(dimension.low or 0), float(dimension.high or 0)
    if _is_whole(key):
        return trial.suggest_int(key, int(low), int(high), log=dimension.log)
    return trial.suggest_float(key, low, high, log=dimension.log)


def _is_whole(key: str) -> bool:
    """Whether a setting of stage 2 takes whole numbers alone, by its annotation."""
    kind = get_type_hints(params.Train)[key.partition(".")[2]]
    return int in (get_args(kind) or (kind,))


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
    # ruamel gives the position of each value; the text is edited there, since a dump would change other bytes too
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
    # before the file: no settings are written that no stage could read
    params.parse(expected, where=target)
    files.write_text(target, result)


def _as_yaml(value: Any) -> str:
    """Write a value so that YAML 1.1 and 1.2 read it equally, to the last bit."""
    if not isinstance(value, float):
        return json.dumps(value)
    mantissa, exponent, power = repr(value).partition("e")
    # YAML 1.1 takes 1e-05 for a text: a number needs a point
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def describe(values: Mapping[str, Any]) -> str:
    """Format values for a line of output."""
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )

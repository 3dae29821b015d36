"""Settings in ``params.yaml``: all that change a result, as frozen and validated objects.

Sections have the names of the stages that read them. An unknown key is an error that names the nearest known one. A
stage loads exactly the sections that ``dvc.yaml`` lists for it, so that it can't depend on others by accident.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sadcl.errors import SadclError
from sadcl.params import bounded_yaml
from sadcl.params.data import ImageList as ImageList
from sadcl.params.data import Ingest as Ingest
from sadcl.params.data import Prepare as Prepare
from sadcl.params.data import Validate as Validate
from sadcl.params.gate import RULES as RULES
from sadcl.params.gate import Absolute as Absolute
from sadcl.params.gate import Cost as Cost
from sadcl.params.gate import Gate as Gate
from sadcl.params.gate import PerClass as PerClass
from sadcl.params.gate import Probe as Probe
from sadcl.params.gate import Published as Published
from sadcl.params.gate import Relative as Relative
from sadcl.params.gate import Rule as Rule
from sadcl.params.gate import Slice as Slice
from sadcl.params.model import Model as Model
from sadcl.params.recipes import RECIPES as RECIPES
from sadcl.params.recipes import known_recipes as known_recipes
from sadcl.params.recipes import recipe as recipe
from sadcl.params.section import Section as Section
from sadcl.params.sections import Calibrate as Calibrate
from sadcl.params.sections import Evaluate as Evaluate
from sadcl.params.sections import Params as Params
from sadcl.params.sections import Range as Range
from sadcl.params.sections import Register as Register
from sadcl.params.sections import Tune as Tune
from sadcl.params.training import Augmentation as Augmentation
from sadcl.params.training import Pretrain as Pretrain
from sadcl.params.training import Prototypes as Prototypes
from sadcl.params.training import Train as Train

FILE = Path("params.yaml")


def load(*names: str, path: str | Path = FILE) -> Params:
    """Read ``params.yaml``, or some of its sections.

    Args:
        names: sections, or keys as ``section.key``; the result has these attributes only. By default all.
        path: the file.


    Raises:
        SadclError: the file is missing or not YAML, a key is unknown or missing, or a value is out of bounds.
    """
    params = parse(read_settings(path), where=path)
    if not names:
        return params
    fields: dict[str, Any] = {}
    for name in names:
        section_name, _, key = name.partition(".")
        whole = section(params, section_name)
        fields[_field(section_name)] = SimpleNamespace(**{key: getattr(whole, key)}) if key else whole
    return Params.model_construct(**fields)


def parse(value: Any, where: object) -> Params:
    """Validate settings that are already read.

    Args:
        value: dictionary of the sections.
        where: the file, for errors.

    Raises:
        SadclError: a key is unknown (the message names the nearest known one) or missing, or a value is out of bounds.
    """
    try:
        return Params.model_validate(value)
    except ValidationError as error:
        errors = error.errors()
        parents = {e["loc"][:n] for e in errors for n in range(1, len(e["loc"]))}
        # pydantic reports a list with invalid items as too short as well
        causes = [e for e in errors if not (e["type"] == "too_short" and e["loc"] in parents)]
        raise SadclError("; ".join(_sentence(e) for e in causes[:5]), where=where, fix="Correct the file") from None


def read_settings(path: str | Path = FILE) -> dict[str, Any]:
    """Read ``params.yaml`` as dictionaries, without validation.

    Raises:
        SadclError: the file is missing, not YAML, too large, or not a mapping.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = bounded_yaml.parse(file.read(bounded_yaml.LONGEST + 1))
    except FileNotFoundError:
        raise SadclError(
            "There are no settings", where=path, fix="Run `sadcl recipe demo`, or go to the project's folder"
        ) from None
    except OSError as error:
        raise SadclError(f"The settings can't be read: {error.strerror}", where=path, fix="Check the path") from None
    except bounded_yaml.TooLargeError as error:
        raise SadclError(f"The settings are too large: {error}", where=path, fix="Correct the file") from None
    # PyYAML has no exception of its own for tags, dates and numbers that can't be
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SadclError(f"The settings are not YAML: {error}", where=path, fix="Correct the file") from None
    if not isinstance(value, dict):
        raise SadclError("The settings are not a mapping of sections", where=path, fix="Run `sadcl recipe demo`")
    return value


def section(value: Params, name: str) -> Any:
    """Section ``name`` of the settings, by its name in params.yaml."""
    return getattr(value, _field(name))


def _field(name: str) -> str:
    """Attribute of a section: pydantic reserves the names of two sections."""
    return name + "_" if name in ("validate", "register") else name


def _sentence(error: Any) -> str:
    """Message for one error of pydantic, with the path of the key in the file."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _keys(error["loc"][:-1]), n=1, cutoff=0)
        return f"Unknown setting {path}; the nearest known one is {near[0]}" if near else f"Unknown setting {path}"
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        kind, known = error["input"].get("kind"), ", ".join(RULES)
        return f"Setting {path}.kind must be one of {known}" + (f", but it is {kind!r}" if kind else "")
    if error["type"] == "missing":
        return f"Setting {path} is missing"
    return f"Setting {path}: {error['msg']}, but it is {error['input']!r}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Sections in the type of a field, such as those of an optional one or of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _keys(path: tuple[Any, ...]) -> list[str]:
    """Names of the keys that are allowed at a path of the file."""
    model: type[BaseModel] = Params
    for part in path:
        model = RULES.get(part, model)
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        inner = set(_models(fields[part].annotation)) if part in fields else set()
        if len(inner) == 1:  # a rule of the gate has several, and its kind follows in the path
            model = inner.pop()
    return [field.alias or name for name, field in model.model_fields.items()]

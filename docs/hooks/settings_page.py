"""The page of settings, from the pydantic models behind ``params.yaml``.

Types, bounds, defaults and units come from the models; meanings are the docstrings below their fields.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import griffe
from markup import code, sentence, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sadcl import params
from sadcl.params.units import Unit

INTRO = """# Settings: params.yaml

`params.yaml` is the only place for settings that change a result. Each section carries the name of the stage that
reads it. An unknown key is an error that names the nearest known one. What does not change a result (device, number of
workers, server addresses) comes from [flags](commands.md) and [the environment](environment.md).

This page is generated from the models in `sadcl/params`.
"""
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def page(root: Path) -> str:
    """Markdown of all sections of ``Params``."""
    docs = griffe.load("sadcl.params", search_paths=[str(root)], resolve_aliases=True)
    seed = table(HEADER, [_row("seed", params.Params.model_fields["seed"], "Every random draw derives from it.")])
    parts = [INTRO, "## seed\n", seed]
    for name, field in params.Params.model_fields.items():
        if _models(field.annotation):
            parts += _section(field.alias or name, field.annotation, docs)
    return "\n".join(parts)


HEADER = ("setting", "meaning", "type", "default", "unit")


def _section(title: str, model: Any, docs: Any, level: int = 2) -> Iterator[str]:
    yield f"{'#' * level} {title}\n"
    yield sentence(inspect.getdoc(model) or "") + "\n"
    parent = model.__base__
    inherited = set(parent.model_fields) if parent is not params.Section else set()
    if inherited:
        name = parent.__name__.lower()
        yield f"All settings of [{name}](#{name}), and:\n"
    own = {key: field for key, field in model.model_fields.items() if key not in inherited}
    rows = [_row(field.alias or key, field, _doc(docs, model, key)) for key, field in own.items()]
    yield table(HEADER, rows)
    for field in own.values():
        for inner in _models(field.annotation):
            yield from _section(_title(title, inner), inner, docs, level + 1)


def _title(section: str, model: type[BaseModel]) -> str:
    kinds = [kind for kind, rule in params.RULES.items() if rule is model]
    return f"{section}: rule {kinds[0]}" if kinds else f"{section}: {model.__name__}"


def _row(name: str, field: FieldInfo, meaning: str) -> tuple[str, ...]:
    limits = ", ".join(_limits(field))
    kind = _type(field.annotation) + (f", {limits}" if limits else "")
    return code(name), sentence(meaning), kind, _default(field), _unit(field)


def _doc(docs: Any, model: type[BaseModel], key: str) -> str:
    member = docs[model.__name__].members.get(key)
    return member.docstring.value if member is not None and member.docstring else ""


def _limits(field: FieldInfo) -> Iterator[str]:
    for item in field.metadata:
        for sign, words in SIGNS.items():
            if (value := getattr(item, sign, None)) is not None:
                yield f"{words} {value:g}"
        if pattern := getattr(item, "pattern", None):
            yield f"matches `{pattern}`"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(code(value) for value in inner)
    if origin in (Union, UnionType):
        return " or ".join("null" if one is NoneType else _type(one) for one in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}" if inner[-1] is Ellipsis else f"{len(inner)} × {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[0])} → {_type(inner[1])}"
    names = {"str": "text", "int": "integer", "float": "number", "bool": "boolean"}
    return names.get(annotation.__name__, annotation.__name__)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Sections below a setting, such as the rules of the gate."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _unit(field: FieldInfo) -> str:
    units = [item.name for item in field.metadata if isinstance(item, Unit)] or list(_units(field.annotation))
    return units[0] if units else ""


def _units(annotation: Any) -> Iterator[str]:
    for inner in get_args(annotation):
        if isinstance(inner, Unit):
            yield inner.name
        yield from _units(inner)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined:
        value = field.get_default(call_default_factory=True)
    return code(_yaml(value))


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:.4g}" if value % 1 else f"{value:.1f}"
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)
